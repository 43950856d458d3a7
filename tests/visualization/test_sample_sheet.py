"""Images beside their labels and predictions."""

import math

import numpy as np
import pytest

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.sample_sheet import draw_samples, make_sample

PALETTE = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
NAMES = ['wall', 'sky', 'tree']
PHOTO = (90, 91, 92)


def a_sample(height=40, width=80, *, label=0, prediction=1, name='photo.jpg', side=64):
    image = np.full((height // 2, width // 2, 3), PHOTO, np.uint8)
    labels = [np.full((height, width), value) for value in (label, prediction)]
    return make_sample(name, image, *labels, width=side)


def test_make_sample__counts_at_full_size_without_ignored_pixels():
    label, prediction = np.zeros((20, 50), np.int64), np.zeros((20, 50), np.int64)
    label[:, :25] = 255
    prediction[0, 25:] = 1
    sample = make_sample('a', np.zeros((20, 50, 3), np.uint8), label, prediction, width=10)
    assert sample.accuracy == pytest.approx(19 / 20)
    assert sample.image.shape == (4, 10, 3)
    assert sample.label.tolist() == [[255] * 5 + [0] * 5] * 4
    assert sample.prediction.shape == (4, 10)


@pytest.mark.parametrize('size', [(1, 7), (300, 1000), (33, 64), (500, 3)])
def test_make_sample__any_size(size):
    labels = np.arange(size[0] * size[1]).reshape(size) % 3
    sample = make_sample('a', np.zeros((*size, 3), np.uint8), labels, labels, width=64)
    assert sample.image.shape[:2] == sample.label.shape == sample.prediction.shape
    assert sample.label.shape[1] == 64
    assert sample.accuracy == 1


def test_make_sample__nothing_but_ignored_pixels():
    assert math.isnan(a_sample(label=255).accuracy)


def test_draw_samples__image_label_and_prediction_side_by_side():
    sheet = draw_samples([a_sample(), a_sample(label=255, prediction=2)], PALETTE, NAMES)
    row = sheet[22 + 16]  # below the line of headings
    assert row[[10, 64 + 8 + 10, 2 * (64 + 8) + 10]].tolist() == [
        list(PHOTO),
        list(PALETTE[0]),
        list(PALETTE[1]),
    ]
    second = sheet[22 + 32 + 22 + 16]
    assert second[[10, 82, 154]].tolist() == [list(PHOTO), [0, 0, 0], list(PALETTE[2])]


def test_draw_samples__says_how_much_is_right_and_what_a_color_is():
    wrong, right = (draw_samples([a_sample(prediction=value)], PALETTE, NAMES) for value in (1, 0))
    # The caption under the prediction: 0.0% and 100.0%.
    assert not np.array_equal(wrong[54:76, 144:208], right[54:76, 144:208])
    longer = draw_samples([a_sample()], PALETTE, ['a name of some length', 'sky', 'tree'])
    assert longer.shape != wrong.shape or not np.array_equal(longer, wrong)


def test_draw_samples__a_label_without_a_color():
    with pytest.raises(VisualizationError, match='the palette has 3 colors, but the label 7'):
        draw_samples([a_sample(prediction=7)], PALETTE, NAMES)
