import pytest

from swinseg.runtimes.protocol import protocol_of

LOAD, PACK = dict(type='LoadImage'), dict(type='mmseg.PackSegInputs')


def config(*steps, **test_cfg):
    return {'model': {'test_cfg': test_cfg}, 'test_pipeline': [LOAD, *steps, PACK]}


@pytest.mark.parametrize(
    ('steps', 'resize', 'others'),
    [
        ([], None, []),
        ([dict(type='LoadAnnotations')], None, []),
        ([dict(type='Resize', scale=(2048, 512), keep_ratio=True)], dict(scale=[2048, 512], keep_ratio=True), []),
        ([dict(type='mmcv.Resize', scale=512)], dict(scale=[512, 512], keep_ratio=False), []),
        ([dict(type='Resize', scale_factor=0.5)], None, ['Resize']),
        ([dict(type='Resize', scale=(9, 9), interpolation='nearest')], None, ['Resize']),
        ([dict(type='Pad', size=(9, 9)), dict(type='my.Step')], None, ['Pad', 'my.Step']),
    ],
)  # fmt: skip
def test_protocol_of__steps(steps, resize, others):
    found = protocol_of(config(*steps, mode='whole'))
    assert found == {'resize': resize, 'mode': 'whole', 'other_steps': others}


def test_protocol_of__windows():
    found = protocol_of(config(mode='slide', crop_size=(512, 768), stride=341))
    assert (found['crop_size'], found['stride']) == ([512, 768], [341, 341])
    assert protocol_of({'model': {'test_cfg': None}})['mode'] == 'whole'
