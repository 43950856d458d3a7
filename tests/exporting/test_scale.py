"""What is read from a config about the size of images."""

import pytest
from mmengine.config import Config

from swinseg.errors import ExportError
from swinseg.exporting.scale import Scale, scale_of, without_resize


def config(*steps):
    return Config(dict(test_pipeline=[dict(type='LoadImage'), *steps, dict(type='PackSegInputs')]))


def test_scale_of():
    label = dict(type='mmseg.LoadAnnotations')
    assert scale_of(
        config(dict(type='Resize', scale=(2048, 512), keep_ratio=True), label)
    ) == Scale(2048, 512, keep_ratio=True)
    assert scale_of(config(dict(type='Resize', scale=512))) == Scale(512, 512, keep_ratio=False)


@pytest.mark.parametrize(
    ('steps', 'found'),
    [
        ([], 'found none, so that images are used as they are'),
        ([dict(type='Resize', scale=(9, 9))] * 2, 'one Resize .*, found Resize, Resize;'),
        ([dict(type='Resize', scale=(9, 9)), dict(type='Pad', size=(9, 9))], 'found Resize, Pad;'),
        ([dict(type='ResizeShortestEdge', scale=9)], 'one Resize .*, found ResizeShortestEdge;'),
        ([dict(type='Resize', scale=(9, 9), backend='pillow')], "backend='cv2' .*, found pillow and bilinear;"),
        ([dict(type='Resize', scale=(9, 9), interpolation='area')], "found cv2 and area;"),
        ([dict(type='Resize', scale_factor=0.5)], 'a width and a height as scale .*scale_factor'),
        ([dict(type='Resize', scale=(9, 0))], r'a width and a height as scale .*\(9, 0\)'),
    ],
)  # fmt: skip
def test_scale_of__pipelines_that_have_no_place_in_a_graph(steps, found):
    with pytest.raises(ExportError, match=f'{found}.* without resize=True'):
        scale_of(config(*steps))


def test_without_resize():
    cfg = config(dict(type='Resize', scale=(9, 9)))
    cfg.model = dict(type='EncoderDecoder', test_cfg=dict(mode='slide', crop_size=(4, 4)))
    found = without_resize(cfg)
    assert [step['type'] for step in found.test_pipeline] == ['LoadImage', 'PackSegInputs']
    assert found.model.test_cfg == dict(mode='whole')
    assert cfg.model.test_cfg.mode == 'slide'
