"""Inference settings of a config: what cannot be done by them is said at once."""

from __future__ import annotations

import pytest

from swinseg.errors import SlideError
from swinseg.inference.settings import check_inference_settings

SLIDE = dict(mode='slide', crop_size=(96, 96), stride=(64, 64))


@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(mode='whole', crop_size=96),
        SLIDE,
        dict(SLIDE, stride=[96, 96], crop_size=[96, 128], blend='gaussian', batch_size=4),
        dict(SLIDE, batch_size=None),
    ],
)
def test_settings__that_work(settings):
    check_inference_settings(settings)


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(mode='slid'), "'whole' or 'slide', found 'slid'"),
        (dict(mode=None), "'whole' or 'slide', found None"),
        (
            dict(mode='slide', crop_size=(96, 96)),
            r"mode='slide' but no stride; write .* stride=\(341",
        ),
        (dict(mode='slide', stride=(64, 64)), "mode='slide' but no crop_size"),
        (dict(SLIDE, crop_size=96), r'crop_size of test_cfg must be .* write crop_size=\(96, 96\)'),
        (dict(SLIDE, stride=64.0), r'stride of test_cfg must be .*, found 64\.0$'),
        (dict(SLIDE, stride=(0, 0)), r'stride of test_cfg must be .*, found \(0, 0\)'),
        (dict(SLIDE, crop_size=(96.5, 96)), 'crop_size of test_cfg must be'),
        (dict(SLIDE, crop_size=(96, 96, 3)), 'crop_size of test_cfg must be'),
        (dict(SLIDE, crop_size='96'), "crop_size of test_cfg must be .*, found '96'"),
        (dict(SLIDE, stride=(64, 97)), "from 1 to the window's width, 96, but is 97"),
        (dict(SLIDE, blend='x'), "blend of test_cfg must be one of uniform, .* found 'x'"),
        (dict(SLIDE, batch_size=0), 'batch_size of test_cfg must be'),
        (dict(SLIDE, batch_size=True), 'batch_size of test_cfg must be'),
    ],
)
def test_settings__that_do_not(settings, sentence):
    with pytest.raises(SlideError, match=sentence):
        check_inference_settings(settings)
