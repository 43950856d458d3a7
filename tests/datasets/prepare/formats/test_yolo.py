"""YOLO's polygons to index labels."""

import numpy as np
import pytest
import yaml
from PIL import Image

from support.prepared import HEIGHT, KITE, STAR, WIDTH, drawn, label_of, save_image
from swinseg.datasets.prepare import PrepareError, from_yolo, write_dataset
from swinseg.errors import DataError

NAMES = {0: 'road', 1: 'car'}


def line(value, corners):
    return ' '.join([str(value), *(f'{x / WIDTH:.17g} {y / HEIGHT:.17g}' for x, y in corners)])


def dataset(root, labels, *, names=None, **data):
    """Write images, labels by path (None for no file) and data.yaml."""
    for name, text in labels.items():
        save_image(root / f'{name}.png')
        path = root / f'{name.replace("images", "labels")}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
    (root / 'data.yaml').write_text(yaml.safe_dump(dict(names=names or NAMES, **data)))
    return root


def test_yolo__smaller_polygons_are_on_top(tmp_path):
    text = f'{line(1, KITE)}\n\n{line(0, STAR)}\n'
    root = dataset(tmp_path / 'in', {'images/train/a': text}, train='images/train')
    source = from_yolo(root, val_share=0)
    assert source.classes == ['background', 'road', 'car']
    expected = drawn([(STAR, 1), (KITE, 2)])
    assert set(np.unique(expected)) == {0, 1, 2}
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)


def test_yolo__an_area_with_a_hole_by_a_cut(tmp_path):
    ring = [
        (2, 2),
        (30, 2),
        (30, 20),
        (2, 20),
        (2, 2),
        (10, 8),
        (10, 14),
        (20, 14),
        (20, 8),
        (10, 8),
    ]
    root = dataset(tmp_path / 'in', {'images/a': line(0, ring)}, train='images')
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:20, 2:30] = 1
    expected[8:14, 10:20] = 0
    np.testing.assert_array_equal(label_of(from_yolo(root, val_share=0), tmp_path), expected)


@pytest.mark.parametrize(
    ('folders', 'data'),
    [
        (('images/train', 'images/val'), dict(train='images/train', val=['images/val'])),
        (('train/images', 'valid/images'), dict(train='../train/images', val='../valid/images')),
        (('set/images/train', 'set/images/val'), dict(path='set', train='images/train', val='images/val')),
        (
            ('images/train', 'images/val'),
            dict(path='/content/somewhere', train='images/train', val='images\\val'),
        ),
    ],
)  # fmt: skip
def test_yolo__folders_as_tools_write_them(tmp_path, folders, data):
    labels = {
        f'{folders[0]}/a': line(0, STAR),
        f'{folders[0]}/b': None,
        f'{folders[1]}/a': line(1, KITE),
    }
    root = dataset(tmp_path / 'in', labels, names=['road', 'car'], **data)
    # What a Mac and other tools put beside them.
    for name in ('._a.txt', 'classes.txt'):
        (root / folders[0].replace('images', 'labels') / name).write_text('x')
    written = write_dataset(from_yolo(root / 'data.yaml'), tmp_path / 'out')
    assert written.images == {'train': 2, 'val': 1}
    for name, expected in (
        ('train/a', drawn([(STAR, 1)])), ('train/b', 0), ('val/a', drawn([(KITE, 2)])),
    ):  # fmt: skip
        label = np.array(Image.open(tmp_path / 'out' / 'labels' / f'{name}.png'))
        np.testing.assert_array_equal(label, np.broadcast_to(expected, label.shape))


def test_yolo__lists_of_images(tmp_path):
    labels = {f'images/{name}': line(0, STAR) for name in 'abcd'}
    root = dataset(tmp_path / 'in', labels, train='lists/train.txt', val='lists/val.txt')
    (root / 'lists').mkdir()
    (root / 'lists' / 'train.txt').write_text('../images/a.png\n\nimages/b.png\n')
    (root / 'lists' / 'val.txt').write_text(f'{(root / "images" / "c.png").resolve()}\n')
    written = write_dataset(from_yolo(root), tmp_path / 'out')
    assert written.images == {'train': 2, 'val': 1}


def test_yolo__a_test_set_without_labels_is_left_out(tmp_path):
    labels = {'images/train/a': line(0, STAR), 'images/test/b': None}
    root = dataset(tmp_path / 'in', labels, train='images/train', test='images/test')
    assert write_dataset(from_yolo(root), tmp_path / 'out').images == {'train': 1}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 0.5 0.5 0.2 0.2', r'line 1 of .*a\.txt is a box \(class x y width height\)'),
        (
            '0 0.1 0.1 0.9 0.1 0.5',
            'must be a class and pairs x y, but has 5 numbers after the class',
        ),
        ('0 0.1 0.1', 'must have 3 or more corners'),
        ('2 0.1 0.1 0.9 0.1 0.5 0.9', "must begin with a class from 0 to 1, but begins with '2'"),
        (
            'road 0.1 0.1 0.9 0.1 0.5 0.9',
            "must begin with a class from 0 to 1, but begins with 'road'",
        ),
        (
            '0 3 3 30 3 15 20',
            'must have coordinates from 0 to 1, in parts of the image, but has 3 to 30',
        ),
        ('0 0.1 0.1 nan 0.1 0.5 0.9', 'must have 3 or more corners'),
    ],
)
def test_yolo__lines_that_are_wrong(tmp_path, text, message):
    root = dataset(tmp_path / 'in', {'images/a': text}, train='images')
    with pytest.raises(PrepareError, match=message):
        write_dataset(from_yolo(root), tmp_path / 'out')


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (dict(train='images', names={1: 'a'}), 'must be numbered from 0 without a gap'),
        (dict(train='images', names='road'), "must have 'names', a list, but has names=road"),
        (
            dict(train='images', names=[True]),
            'has the class True, which is no text; put it in quotation marks',
        ),
        (dict(), r"data\.yaml must have 'train', a folder or list of images"),
        (dict(train='nowhere'), r"train of .*data\.yaml names 'nowhere', which is not in .*in"),
        (dict(train='../../etc'), "names the file '../../etc', which is not inside"),
        (dict(train='/etc'), "names the file '/etc', which is not inside"),
        (
            dict(train='data.yaml'),
            r"must be a folder or a list \(\.txt\), but is the file 'data\.yaml'",
        ),
        (dict(train='images', masks_dir='masks'), 'which FolderDataset reads as they are'),
        (dict(train=[3]), 'must name folders or text files, but has 3'),
    ],
)
def test_yolo__data_files_that_are_wrong(tmp_path, data, message):
    root = dataset(tmp_path / 'in', {'images/a': line(0, STAR)}, **data)
    with pytest.raises(PrepareError, match=message):
        from_yolo(root)


def test_yolo__files_that_are_missing(tmp_path):
    with pytest.raises(
        DataError, match=r'the file .*data\.yaml cannot be read: .*; name the folder of data\.yaml'
    ):
        from_yolo(tmp_path)
    root = dataset(
        tmp_path / 'in', {'images/a': line(0, STAR), 'images/b': line(0, STAR)}, train='images'
    )
    (root / 'images' / 'b.png').unlink()
    with pytest.raises(PrepareError, match=r'the label .*b\.txt has no image in .*images'):
        from_yolo(root)
    root = dataset(tmp_path / 'other', {'images/a': None}, train='images')
    with pytest.raises(
        PrepareError, match=r'no image of train of .* has a label, such as .*labels/a\.txt'
    ):
        from_yolo(root)
    (root / 'data.yaml').write_text('train: list.txt\nnames: [road]')
    (root / 'list.txt').write_text('images/c.png')
    with pytest.raises(
        PrepareError, match=r"line 1 of .*list\.txt names 'images/c\.png', which is not in"
    ):
        from_yolo(root)
    (root / 'list.txt').write_text('data.yaml')
    with pytest.raises(
        PrepareError, match=r"line 1 of .*list\.txt names 'data\.yaml', which is no image"
    ):
        from_yolo(root)
