"""The steps of a config's test images, wherever it has them."""

from swinseg.config.pipelines import pipeline_of

STEPS = [dict(type='LoadImage'), dict(type='Resize', scale=(2048, 512), keep_ratio=True)]


def test_pipeline_of__looks_into_wrapped_datasets():
    inner = {'pipeline': STEPS}
    for dataset in ({'dataset': inner}, {'datasets': [{'dataset': inner}, {}]}):
        assert pipeline_of({'test_dataloader': {'dataset': dataset}}) == STEPS
    assert pipeline_of({'test_pipeline': STEPS}) == STEPS
    assert pipeline_of({}) == ()
