"""Color masks and Cityscapes to plain index labels."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from swinseg.datasets import DataError
from swinseg.datasets.labels.cityscapes import TRAIN_IDS
from swinseg.datasets.prepare import from_cityscapes, from_color_masks, write_dataset

DATA = os.environ.get('SWINSEG_TEST_DATA')
needs_data = pytest.mark.skipif(DATA is None, reason='SWINSEG_TEST_DATA is not set')
COLORS = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142]], np.uint8)
CLASSES = """
classes:
  - {name: background, color: [0, 0, 0]}
  - {name: road, color: [128, 64, 128]}
  - {name: car, color: [0, 0, 142]}
"""


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def masks(tmp_path):
    """Three images in train and val with RGB masks; returns the folder and the indices by name."""
    rng = np.random.default_rng(0)
    (tmp_path / 'classes.yaml').write_text(CLASSES)
    labels = {}
    for name in ('train/a', 'train/sub/b', 'val/c'):
        labels[name] = rng.integers(0, 3, (20, 30))
        save(tmp_path / 'images' / f'{name}.jpg', rng.integers(0, 256, (20, 30, 3), np.uint8))
        save(tmp_path / 'masks' / f'{name}.png', COLORS[labels[name]])
    return tmp_path, labels


def read(path):
    return np.array(Image.open(path))


def convert_masks(root, out, **options):
    source = from_color_masks(
        root / 'images', root / 'masks', classes_file=root / 'classes.yaml', **options
    )
    return write_dataset(source, out)


def test_masks__index_labels_in_the_folders_splits(masks):
    root, labels = masks
    written = convert_masks(root, root / 'out')
    assert written.images == {'train': 2, 'val': 1}
    assert written.ignored == 0
    for name, label in labels.items():
        np.testing.assert_array_equal(read(root / 'out' / 'labels' / f'{name}.png'), label)
        given, copied = (
            Path(root, *where, f'{name}.jpg') for where in (['images'], ['out', 'images'])
        )
        assert copied.read_bytes() == given.read_bytes()
    np.testing.assert_array_equal(
        written.pixels, sum(np.bincount(label.ravel(), minlength=3) for label in labels.values())
    )


def test_masks__a_color_of_no_class_stops_unless_it_is_ignored(masks):
    root, labels = masks
    mask = COLORS[labels['val/c']]
    mask[0, :5] = (224, 224, 192)
    save(root / 'masks' / 'val' / 'c.png', mask)
    with pytest.raises(DataError, match=r'c\.png contains the color \[224, 224, 192\]'):
        convert_masks(root, root / 'out')
    assert sorted(path.name for path in root.iterdir()) == ['classes.yaml', 'images', 'masks']
    written = convert_masks(root, root / 'out', ignore_colors=[[224, 224, 192]])
    assert written.ignored == 5
    assert (read(root / 'out' / 'labels' / 'val' / 'c.png')[0, :5] == 255).all()


def test_cityscapes__folders_with_cities(tmp_path):
    rng = np.random.default_rng(1)
    expected = {}
    for split, city in (('train', 'ulm'), ('val', 'bonn')):
        stem = f'{split}/{city}/{city}_000000_000019'
        ids = rng.integers(0, 34, (16, 32), np.uint8)
        save(tmp_path / 'leftImg8bit' / f'{stem}_leftImg8bit.png', np.zeros((16, 32, 3), np.uint8))
        save(tmp_path / 'gtFine' / f'{stem}_gtFine_labelIds.png', ids)
        # Other files of the dataset, which are no labels of this kind.
        save(tmp_path / 'gtFine' / f'{stem}_gtFine_instanceIds.png', ids.astype(np.uint16))
        expected[stem] = np.vectorize(lambda value: TRAIN_IDS.get(value, 255))(ids)
    written = write_dataset(from_cityscapes(tmp_path), tmp_path / 'out')
    assert written.images == {'train': 1, 'val': 1}
    assert written.classes[:2] == ('road', 'sidewalk')
    for stem, label in expected.items():
        np.testing.assert_array_equal(read(tmp_path / 'out' / 'labels' / f'{stem}.png'), label)


def test_cityscapes__an_unknown_id(tmp_path):
    save(tmp_path / 'a_leftImg8bit.png', np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / 'a_gtFine_labelIds.png', np.full((4, 4), 77, np.uint8))
    with pytest.raises(DataError, match=r'a_gtFine_labelIds\.png .*77'):
        write_dataset(from_cityscapes(tmp_path), tmp_path / 'out')


@needs_data
def test_cityscapes__real_frames(tmp_path):
    written = write_dataset(from_cityscapes(Path(DATA, 'cityscapes')), tmp_path / 'out')
    assert written.images == {'train': 2}
    ids = cv2.imread(str(Path(DATA, 'cityscapes', 'aachen_000000_000019_gtFine_labelIds.png')), -1)
    label = read(tmp_path / 'out' / 'labels' / 'train' / 'aachen_000000_000019.png')
    for value, index in TRAIN_IDS.items():
        assert ((ids == value) == (label == index)).all()
    assert written.pixels[0] > 0.2 * label.size
