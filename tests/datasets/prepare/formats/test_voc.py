"""Pascal VOC, and sets of other classes in its folders, to plain index labels."""

import os
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from support import prepared
from support.prepared import KITE, STAR
from swinseg.datasets import DataError
from swinseg.datasets.prepare import PrepareError, from_voc, write_dataset

DATA = os.environ.get('SWINSEG_TEST_DATA')
needs_data = pytest.mark.skipif(DATA is None, reason='SWINSEG_TEST_DATA is not set')
VOC = bytes(np.array(PascalVOCDataset.METAINFO['palette'], np.uint8))
OTHER = bytes([0, 0, 0, 250, 50, 83, 50, 183, 250, *759 * [7]])
LISTS = {'train.txt': '1\n3\n', 'val.txt': '2\n'}


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def read(path):
    return np.array(Image.open(path))


def make(root, *, palette=VOC, values=(0, 3, 20, 255), suffix='.jpg', lists=LISTS):
    """Write three images with labels in VOC's folders and return the labels by name."""
    rng = np.random.default_rng(2)
    labels = {}
    for name in ('1', '2', '3'):
        save(root / 'JPEGImages' / f'{name}{suffix}', Image.new('RGB', (12, 10)))
        labels[name] = rng.choice(np.array(values, np.uint8), (10, 12))
        picture = Image.fromarray(labels[name])
        if palette is not None:
            picture.putpalette(palette)
        save(root / 'SegmentationClass' / f'{name}.png', picture)
    save(root / 'JPEGImages' / f'for_detection_only{suffix}', Image.new('RGB', (12, 10)))
    (root / 'ImageSets' / 'Segmentation').mkdir(parents=True)
    for name, text in lists.items():
        (root / 'ImageSets' / 'Segmentation' / name).write_text(text)
    return labels


def test_voc__split_lists(tmp_path):
    labels = make(tmp_path)
    written = write_dataset(from_voc(tmp_path), tmp_path / 'out')
    assert written.images == {'train': 2, 'val': 1}
    assert written.classes == PascalVOCDataset.METAINFO['classes']
    for split, name in (('train', '1'), ('val', '2'), ('train', '3')):
        path = tmp_path / 'out' / 'labels' / split / f'{name}.png'
        np.testing.assert_array_equal(read(path), labels[name])


def test_voc__without_lists(tmp_path):
    make(tmp_path, lists={})
    with pytest.raises(PrepareError, match='has no split lists'):
        from_voc(tmp_path)


@pytest.mark.parametrize('palette', [None, OTHER], ids=['gray', 'own palette'])
def test_voc__own_classes_are_not_taken_for_vocs(tmp_path, palette):
    labels = make(tmp_path, palette=palette, values=(0, 1, 2, 255), suffix='.png')
    (tmp_path / 'JPEGImages' / '1.png').rename(tmp_path / 'JPEGImages' / '1.jpg')
    with pytest.raises(DataError):  # of another suffix than VOC's
        from_voc(tmp_path)
    (tmp_path / 'class_names.txt').write_text('_background_\nroof\nroad\n')
    written = write_dataset(from_voc(tmp_path), tmp_path / 'out')
    assert written.classes == ('_background_', 'roof', 'road')
    for split, name in (('train', '1'), ('val', '2'), ('train', '3')):
        label = read(tmp_path / 'out' / 'labels' / split / f'{name}.png')
        np.testing.assert_array_equal(label, labels[name])


@pytest.mark.parametrize(
    ('palette', 'message'), [(None, 'has no palette, not'), (OTHER, 'has another palette, not')]
)
def test_voc__nothing_says_the_classes(tmp_path, palette, message):
    make(tmp_path, palette=palette, values=(0, 1, 2))
    with pytest.raises(
        PrepareError, match=rf'{message} that of the 21 .*; put class_names\.txt there'
    ):
        from_voc(tmp_path)


def test_voc__labels_txt_of_labelme_has_no_number_for_what_is_ignored(tmp_path):
    make(tmp_path, palette=None, values=(0, 1))
    (tmp_path / 'labels.txt').write_text('__ignore__\n_background_\n\n roof \n')
    assert list(from_voc(tmp_path).classes) == ['_background_', 'roof']
    (tmp_path / 'labels.txt').write_text('\n')
    with pytest.raises(PrepareError, match=r'labels\.txt names no class'):
        from_voc(tmp_path)


def test_voc__labelmap_of_cvat_says_the_colors(tmp_path):
    labels = make(tmp_path, values=(0, 1, 2), lists={'default.txt': '1\n2\n3\n'})
    colors = np.array([[0, 0, 0], [250, 50, 83], [224, 224, 192]], np.uint8)
    for name, label in labels.items():
        save(tmp_path / 'SegmentationClass' / f'{name}.png', Image.fromarray(colors[label]))
    text = '# label:color_rgb:parts:actions\nbackground:0,0,0::\nroof:250,50,83::\n'
    (tmp_path / 'labelmap.txt').write_text(f'{text}ignored:224,224,192::\n')
    written = write_dataset(from_voc(tmp_path, val_share=0.34), tmp_path / 'out')
    assert (written.images, written.classes) == ({'train': 2, 'val': 1}, ('background', 'roof'))
    assert written.ignored == sum((label == 2).sum() for label in labels.values())
    for path in (tmp_path / 'out' / 'labels').glob('*/*.png'):
        np.testing.assert_array_equal(read(path), np.array([0, 1, 255])[labels[path.stem]])
    (tmp_path / 'labelmap.txt').write_text('roof:::\n')
    with pytest.raises(
        PrepareError,
        match=r"line 1 of .* must be name:red,green,blue:parts:actions, but is 'roof:::'",
    ):
        from_voc(tmp_path)
    (tmp_path / 'labelmap.txt').write_bytes(b'roof\xff')
    with pytest.raises(PrepareError, match=r'labelmap\.txt is no text in UTF-8'):
        from_voc(tmp_path)


@needs_data
def test_voc__real_files(tmp_path):
    given = Path(DATA, 'formats', 'palette_voc')
    written = write_dataset(from_voc(given, val_share=0.25), tmp_path / 'out')
    assert written.images == {'train': 3, 'val': 1}
    for path in given.glob('*.png'):
        (label,) = (tmp_path / 'out' / 'labels').glob(f'*/{path.name}')
        np.testing.assert_array_equal(read(label), read(path))


def test_voc__masks_that_gdal_drew(tmp_path):
    drawn = prepared.drawn([(STAR, 1), (KITE, 2)])
    picture = Image.fromarray(drawn)
    picture.putpalette(VOC)
    save(tmp_path / 'SegmentationClass' / 'a.png', picture)
    prepared.save_image(tmp_path / 'JPEGImages' / 'a.jpg')
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('a\n')
    (tmp_path / 'class_names.txt').write_text('_background_\nroof\nroad\n')
    np.testing.assert_array_equal(prepared.label_of(from_voc(tmp_path), tmp_path), drawn)
