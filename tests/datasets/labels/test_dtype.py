"""The type that holds labels, and that all who store them have the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from swinseg.datasets import DataError, FolderDataset
from swinseg.datasets.checked import MAX_CLASSES
from swinseg.datasets.labels.colors import MAX_COLORED_CLASSES
from swinseg.datasets.labels.dtype import label_dtype, label_tensor_dtype
from swinseg.evaluation import MeanIoUMetric
from swinseg.models.postprocess import predict_labels
from swinseg.predictor.rejection import reject
from swinseg.raster.image import RasterError
from swinseg.raster.writers import LabelWriter
from swinseg.report.record import ignored_value
from swinseg.visualization.png_files import indexed_image

LIMITS = [
    (1, 0, np.uint8),
    (255, 1, np.uint8),
    (256, 0, np.uint8),
    (256, 1, np.uint16),
    (257, 0, np.uint16),
    (65535, 1, np.uint16),
    (65536, 0, np.uint16),
]
TOO_MANY = [(65536, 1), (65537, 0)]


@pytest.mark.parametrize(('num_classes', 'reserved', 'expected'), LIMITS)
def test_label_dtype__limits(num_classes, reserved, expected):
    found = label_dtype(num_classes, reserved=reserved)
    assert found == expected
    assert np.iinfo(found).max >= num_classes + reserved - 1
    is_small = expected == np.uint8
    assert label_tensor_dtype(num_classes, reserved=reserved) == (
        torch.uint8 if is_small else torch.int64
    )


@pytest.mark.parametrize(('num_classes', 'reserved'), TOO_MANY)
@pytest.mark.parametrize('dtype_of', [label_dtype, label_tensor_dtype])
def test_label_dtype__more_than_16_bits(dtype_of, num_classes, reserved):
    with pytest.raises(
        DataError,
        match=f'^labels have 16 bits and so at most 65536 values, but {num_classes} are needed',
    ):
        dtype_of(num_classes, reserved=reserved)


@pytest.mark.parametrize(
    ('num_classes', 'ignore_index', 'expected'),
    [
        (150, 255, torch.uint8),
        (256, 255, torch.uint8),
        (150, 3, torch.uint8),
        (150, 256, torch.int64),
        (150, -100, torch.int64),
        (257, 255, torch.int64),
        (150, None, torch.uint8),
    ],
)
def test_label_tensor_dtype__holds_the_ignored_label(num_classes, ignore_index, expected):
    assert label_tensor_dtype(num_classes, ignore_index=ignore_index) == expected


def _metric_file(num_classes, tmp_path, *, from_one):
    metric = MeanIoUMetric(format_only=True, output_dir=tmp_path)
    metric.dataset_meta = {'classes': [str(n) for n in range(num_classes)]}
    labels = torch.full((1, 2, 3), num_classes - 1)
    sample = {'pred_sem_seg': {'data': labels}, 'img_path': 'a.jpg', 'reduce_zero_label': from_one}
    metric.process({}, [sample])
    # Not by Pillow, whose older versions widen 16 bits.
    return cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize('num_classes', [255, 256, 257])
def test_label_dtype__is_that_of_all_who_store_labels(num_classes, tmp_path):
    last = num_classes - 1
    alone, with_one_more = label_dtype(num_classes), label_dtype(num_classes, reserved=1)
    tensor, tensor_with_one_more = (
        label_tensor_dtype(num_classes, reserved=reserved) for reserved in (0, 1)
    )
    scores = torch.zeros(num_classes, 2, 3)
    scores[last] = 1
    labels, _ = predict_labels(scores, threshold=None)
    assert labels.dtype == tensor
    assert labels.unique().tolist() == [last]
    rejected = reject(labels, torch.zeros(2, 3), 0.5, num_classes)
    assert rejected.dtype == tensor_with_one_more
    assert rejected.unique().tolist() == [num_classes]
    for from_one, expected in ((False, alone), (True, with_one_more)):
        stored = _metric_file(num_classes, tmp_path / str(from_one), from_one=from_one)
        assert (stored.dtype, stored.max()) == (expected, last + from_one)
    palette = np.zeros((num_classes, 3), np.uint8)
    picture = np.array(indexed_image(labels.numpy(), palette))
    assert (picture.dtype, picture.max()) == (alone, last)
    assert ignored_value(num_classes) == np.iinfo(with_one_more).max
    with LabelWriter(tmp_path / 'a.npy', (2, 3), dtype=alone, palette=palette) as writer:
        writer.write_rows(0, labels.numpy())
    assert np.load(tmp_path / 'a.npy').dtype == alone
    if alone != np.uint8:
        with pytest.raises(RasterError, match=r'257 classes do not fit uint8 .* dtype=uint16$'):
            LabelWriter(tmp_path / 'b.npy', (2, 3), dtype=np.uint8, palette=palette)


def test_label_dtype__nobody_cuts_off_what_does_not_fit(tmp_path):
    with pytest.raises(DataError, match='but 65537 are needed'):
        _metric_file(65537, tmp_path, from_one=False)
    with pytest.raises(DataError, match=r'65536 are needed .* and 1 reserved'):
        _metric_file(65536, tmp_path, from_one=True)
    with pytest.raises(DataError, match='but 65537 are needed'):
        indexed_image(np.zeros((2, 3), np.uint16), np.zeros((65537, 3), np.uint8))
    with pytest.raises(DataError, match=r'65536 are needed .* and 1 reserved'):
        ignored_value(65536)
    with pytest.raises(DataError, match=r'65536 are needed .* and 1 reserved'):
        reject(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3), 0.5, 65536)


def test_datasets__have_a_value_left_for_what_is_no_class(make_set):
    root = make_set({'x': np.zeros((2, 4), np.uint8)})
    prefix = {'img_path': 'images', 'seg_map_path': 'annotations'}

    def build(count, **options):
        names = [str(n) for n in range(count)]
        return FolderDataset(data_root=str(root), data_prefix=prefix, classes=names, **options)

    def colors(count):
        return dict(color_labels=True, palette=[[n, n // 2, n] for n in range(count)])

    assert label_dtype(MAX_CLASSES, reserved=1) == label_dtype(MAX_COLORED_CLASSES, reserved=2)
    assert len(build(MAX_CLASSES)) == len(build(MAX_COLORED_CLASSES, **colors(254))) == 1
    with pytest.raises(DataError, match='at most 255 classes, found 256'):
        build(MAX_CLASSES + 1)
    with pytest.raises(DataError, match='at most 254 classes, found 255'):
        build(MAX_COLORED_CLASSES + 1, **colors(255))
