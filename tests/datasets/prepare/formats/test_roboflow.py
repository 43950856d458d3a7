"""Roboflow's masks to index labels."""

import numpy as np
import pytest
from PIL import Image

from support.prepared import KITE, STAR, drawn, label_of, save_image
from swinseg.datasets.prepare import PrepareError, from_roboflow, write_dataset
from swinseg.errors import DataError

CLASSES = 'Pixel Value, Class\n0, background\n1, road\n3, car or van\n'
MASK = drawn([(STAR, 1), (KITE, 3)])


def export(folder, names=('a',), *, classes=CLASSES, mask=MASK):
    for name in names:
        save_image(folder / f'{name}.jpg')
        Image.fromarray(mask).save(folder / f'{name}_mask.png')
    if classes is not None:
        (folder / '_classes.csv').write_text(classes)
    return folder


def test_roboflow__values_are_named_by_the_file(tmp_path):
    for folder, names in (('train', 'ab'), ('valid', 'c'), ('test', 'd')):
        export(tmp_path / 'in' / folder, names)
    source = from_roboflow(tmp_path / 'in')
    assert source.classes == ['background', 'road', 'car or van']
    np.testing.assert_array_equal(label_of(source, tmp_path), np.where(MASK == 3, 2, MASK))
    counts = {
        name: [each.split for each in source.samples].count(name)
        for name in ('train', 'val', 'test')
    }
    assert counts == {'train': 2, 'val': 1, 'test': 1}


def test_roboflow__one_folder(tmp_path):
    source = from_roboflow(export(tmp_path, 'abcd'), val_share=0.25)
    assert sorted(each.split for each in source.samples) == ['train'] * 3 + ['val']


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (None, r'_classes\.csv cannot be read: No such file'),
        (
            CLASSES.replace('car ', 'car, '),
            r'line 4 of .*_classes\.csv must be a pixel value from 0 to 255 and a class, but is \[',
        ),
        ('Pixel Value, Class\n300, a', 'must be a pixel value from 0 to 255'),
        ('Pixel Value, Class\n1, a\n1, b', 'has the pixel value 1 a second time'),
        ('Pixel Value, Class\n', 'must name the classes in lines such as'),
        ('Pixel Value, Class\n0, ', 'has a class with the name'),
    ],
)
def test_roboflow__class_files_that_are_wrong(tmp_path, classes, message):
    with pytest.raises(PrepareError, match=message):
        from_roboflow(export(tmp_path, classes=classes))


def test_roboflow__a_value_that_is_not_named(tmp_path):
    source = from_roboflow(export(tmp_path / 'train', classes='Pixel Value, Class\n0, a\n1, b'))
    with pytest.raises(DataError, match=r'a_mask\.png .*3'):
        write_dataset(source, tmp_path / 'out')


def test_roboflow__folders_that_do_not_belong_together(tmp_path):
    export(tmp_path / 'train')
    export(tmp_path / 'valid', classes='Pixel Value, Class\n0, background')
    with pytest.raises(PrepareError, match=r'valid/_classes\.csv has other classes than .*train'):
        from_roboflow(tmp_path)
    (tmp_path / 'valid').rename(tmp_path / 'more')
    (tmp_path / 'more' / '_classes.csv').write_bytes(
        (tmp_path / 'train' / '_classes.csv').read_bytes()
    )
    with pytest.raises(PrepareError, match='more must be called train, valid or test'):
        from_roboflow(tmp_path)
