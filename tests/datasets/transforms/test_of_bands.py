"""Steps that are for red, green and blue, behind a loader of other bands."""

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from swinseg.datasets.transforms.of_bands import check_bands
from swinseg.errors import ConfigError

FOR_ANY = [
    dict(type='Resize', scale=(50, 40), keep_ratio=True),
    dict(type='RandomResizeCrop', scale=(60, 60), ratio_range=(0.5, 2.0), crop_size=(32, 32)),
    dict(type='RandomFlip', prob=1.0),
    dict(type='RandomRotate', prob=1.0, degree=20),
    dict(type='CLAHE'),
    dict(type='AdjustGamma'),
    dict(type='TablePhotoMetricDistortion', saturation_range=None, hue_delta=None),
    dict(type='RandomCutOut', prob=1.0, n_holes=2, cutout_shape=(4, 4), fill_in=(0,) * 5),
]
FOR_COLORS = [
    (dict(type='PhotoMetricDistortion'), 'take TablePhotoMetricDistortion with saturation_range=None'),
    (dict(type='TablePhotoMetricDistortion'), 'set saturation_range=None and hue_delta=None of it'),
    (dict(type='RGB2Gray'), 'leave it out'),
    (dict(type='Normalize', mean=[0] * 5, std=[1] * 5), 'to data_preprocessor instead'),
    (dict(type='RandomCutOut', prob=1.0, n_holes=2, cutout_shape=(4, 4)), r'set fill_in=\(0, 0, 0, 0, 0\)'),
    (dict(type='Pad', size=(64, 64)), 'set size of data_preprocessor'),
]  # fmt: skip


def loader(bands):
    return TRANSFORMS.build(dict(type='LoadImage', bands=bands))


def test_check_bands__steps_for_any_number():
    steps = [TRANSFORMS.build(dict(step)) for step in FOR_ANY]
    check_bands([loader([1, 2, 3, 4, 5]), *steps])
    results = dict(
        img=np.random.default_rng(0).integers(0, 256, (40, 50, 5), np.uint8), img_shape=(40, 50),
        gt_seg_map=np.zeros((40, 50), np.uint8), seg_fields=['gt_seg_map'],
    )  # fmt: skip
    for step in steps:
        results = step(results)
        assert results['img'].shape[2] == 5


@pytest.mark.parametrize(('step', 'sentence'), FOR_COLORS, ids=lambda value: str(value)[:40])
def test_check_bands__steps_for_colors(step, sentence):
    built = TRANSFORMS.build(dict(step))
    with pytest.raises(ConfigError, match=sentence) as caught:
        check_bands([loader([1, 2, 3, 4, 5]), built])
    assert str(caught.value).startswith(f'{step["type"]} follows LoadImage with 5 bands, but ')
    assert '\n' not in str(caught.value)
    check_bands([loader(None), built])
    check_bands([loader([4, 3, 2]), built])
