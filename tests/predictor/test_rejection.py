"""The rejected label: its number, its color, and where it is seen."""

import numpy as np
import pytest
import torch
from PIL import Image

from support import tiny_checkpoint
from swinseg.predictor import Predictor, PredictorError
from swinseg.predictor.rejection import reject, with_rejected


@pytest.mark.parametrize(('num_classes', 'dtype'), [(255, torch.uint8), (256, torch.int64)])
def test_reject__the_label_is_the_number_of_classes(num_classes, dtype):
    labels = torch.tensor([[3, 7, 9, 254]], dtype=torch.uint8)
    confidence = torch.tensor([[0.4, 0.5, torch.nan, 0.6]])
    found = reject(labels, confidence, 0.5, num_classes)
    assert found.tolist() == [[num_classes, 7, num_classes, 254]]
    assert found.dtype == dtype
    assert labels.tolist() == [[3, 7, 9, 254]]


@pytest.mark.parametrize(
    'palette', [[[9, 9, 9]], [[255, 255, 255]], [[0, 0, 0], [255, 255, 255]]], ids=str
)
def test_with_rejected__the_color_is_no_other_class_s(palette):
    palette = np.array(palette, np.uint8)
    before = palette.copy()
    classes, colors = with_rejected(tuple('ab'[: len(palette)]), palette)
    assert classes == (*'ab'[: len(palette)], 'rejected')
    assert colors.dtype == np.uint8
    np.testing.assert_array_equal(colors[:-1], before)
    assert len({tuple(color) for color in colors.tolist()}) == len(colors)
    np.testing.assert_array_equal(palette, before)


@pytest.mark.parametrize('options', [{}, {'tta': True}], ids=str)
def test_predict__pixels_below_the_threshold_are_rejected(predictor, images, options):
    plain = predictor(images[0], confidence=True, **options)
    threshold = float(np.median(plain.confidence))
    result = predictor(images[0], reject_below=threshold, **options)
    rejected = plain.confidence < threshold
    assert 0 < rejected.mean() < 1
    np.testing.assert_array_equal(result.labels, np.where(rejected, 4, plain.labels))
    np.testing.assert_array_equal(result.confidence, plain.confidence)
    assert result.labels.dtype == np.uint8
    assert result.classes == (*tiny_checkpoint.CLASSES, 'rejected')
    assert result.palette.tolist() == [*tiny_checkpoint.PALETTE, [255, 255, 255]]


def test_predict__the_rejected_label_is_in_all_that_a_result_shows(predictor, images, tmp_path):
    result = predictor(images[0], reject_below=1.0)
    assert result.areas() == {'rejected': 1.0}
    assert (result.color() == 255).all()
    (polygon,) = result.polygons()['rejected']
    assert polygon.area == 50 * 70
    assert result.to_coco()['annotations'][0]['category_id'] == 5
    paths = result.save(tmp_path)
    assert Image.open(paths['labels']).getpalette()[12:15] == [255, 255, 255]
    assert (np.array(Image.open(paths['labels'])) == 4).all()
    assert result.overlay().size > result.image.size
    assert 'rejected' not in predictor(images[0], reject_below=0).areas()


def test_predict__thresholds_and_names_that_do_not_go(data, predictor, images):
    for threshold in (-0.1, 1.5, float('nan')):
        with pytest.raises(PredictorError, match=f'between 0 and 1, but is {threshold}'):
            predictor(images[0], reject_below=threshold)
    cfg = tiny_checkpoint.config(data)
    pipeline = cfg.test_dataloader.dataset.pipeline
    other = Predictor(tiny_checkpoint.build(cfg), pipeline, classes=('a', 'b', 'c', 'rejected'))
    assert other(images[0]).labels.shape == (50, 70)
    with pytest.raises(PredictorError, match='a class has this name; rename the class'):
        other(images[0], reject_below=0.5)
