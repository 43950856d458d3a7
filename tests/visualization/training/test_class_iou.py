"""The table in colors of the IoU of each class."""

import math

import numpy as np
import pytest
from PIL import Image

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.class_iou import plot_class_iou


def colors_of(path):
    pixels = np.array(Image.open(path).convert('RGB'))
    return {tuple(color) for color in np.unique(pixels.reshape(-1, 3), axis=0)}


def count_gray(path):
    return int((np.array(Image.open(path).convert('RGB')) == 0xD9).all(axis=-1).sum())


def test_plot_class_iou__grows_with_the_classes(tmp_path):
    for count in (1, 150):
        ious = {f'class {i}': {20: float(i), 40: i / 2} for i in range(count)}
        plot_class_iou(ious, tmp_path / f'{count}.png', title='run')
    one, many = (Image.open(tmp_path / f'{count}.png') for count in (1, 150))
    assert (one.width, many.width) == (960, 960)
    assert one.height < 300
    assert many.height > 3000, 'a name of each class in its own row can be read'


def test_plot_class_iou__a_class_that_was_absent_is_gray(tmp_path):
    plot_class_iou({'wall': {20: 5.0, 40: 9.0}, 'sky': {20: 5.0, 40: 9.0}}, tmp_path / 'all.png')
    plot_class_iou({'wall': {20: 5.0, 40: 9.0}, 'sky': {40: math.nan}}, tmp_path / 'lacking.png')
    # Letters have a few pixels of any gray.
    assert count_gray(tmp_path / 'all.png') < 100
    assert count_gray(tmp_path / 'lacking.png') > 1000


def test_plot_class_iou__many_validations_and_one(tmp_path):
    plot_class_iou({'wall': {i: i / 10 for i in range(1, 500)}}, tmp_path / 'many.png')
    plot_class_iou({'wall': {1: 0.1}}, tmp_path / 'one.png')
    assert len(colors_of(tmp_path / 'many.png')) > len(colors_of(tmp_path / 'one.png'))


def test_plot_class_iou__without_classes(tmp_path):
    with pytest.raises(
        VisualizationError, match='the training log has no IoU per class: CurvesHook'
    ):
        plot_class_iou({}, tmp_path / 'x.png')
