"""Labels of Mapillary Vistas to those of its classes."""

import numpy as np
import pytest
from mmseg.datasets import MapillaryDataset_v1
from PIL import Image

from support.prepared import HEIGHT, WIDTH, label_of, save_image, save_json
from swinseg.datasets.prepare import PrepareError, from_mapillary, write_dataset
from swinseg.errors import DataError

# The last one, as in the original, is not evaluated.
META = MapillaryDataset_v1.METAINFO
LABELS = [
    dict(
        name=f'group--{name.lower()}',
        readable=name,
        color=list(color),
        instances=False,
        evaluate=name != 'Unlabeled',
    )
    for name, color in zip(META['classes'], META['palette'], strict=True)
]
MASK = np.random.default_rng(0).integers(0, len(LABELS), (HEIGHT, WIDTH), np.uint8)


def export(root, *, version='v1.2', labels=LABELS, folders=('training', 'validation'), mask=MASK):
    for folder in folders:
        save_image(root / folder / 'images' / 'a.jpg')
        path = root / folder / version / 'labels' / 'a.png'
        path.parent.mkdir(parents=True)
        picture = Image.fromarray(mask)
        picture.putpalette(bytes(range(256)) * 3)
        picture.save(path)
    save_json(root / f'config_{version}.json', dict(labels=labels, version=version))
    return root


def test_mapillary__the_classes_that_are_evaluated(tmp_path):
    source = from_mapillary(export(tmp_path / 'in'))
    assert tuple(source.classes) == META['classes'][:-1]
    assert source.palette == META['palette'][:-1]
    expected = np.array([*range(len(LABELS) - 1), 255])[MASK]
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)
    assert sorted(sample.split for sample in source.samples) == ['train', 'val']


def test_mapillary__labels_before_a_gap_keep_their_values(tmp_path):
    labels = [dict(each, evaluate=number != 1) for number, each in enumerate(LABELS[:4])]
    source = from_mapillary(export(tmp_path / 'in', labels=labels, mask=MASK % 4))
    values = np.array([0, 255, 1, 2])
    np.testing.assert_array_equal(label_of(source, tmp_path), values[MASK % 4])


def test_mapillary__the_newest_version_unless_one_is_named(tmp_path):
    export(tmp_path, labels=LABELS[:2], mask=MASK % 2)
    export(tmp_path, version='v2.0', labels=LABELS[:3], mask=MASK % 3)
    assert len(from_mapillary(tmp_path).classes) == 3
    source = from_mapillary(tmp_path, version='v1.2')
    assert len(source.classes) == 2
    np.testing.assert_array_equal(label_of(source, tmp_path), MASK % 2)


def test_mapillary__the_first_edition(tmp_path):
    export(tmp_path / 'in', labels=LABELS[:2], mask=MASK % 2, folders=['training'])
    (tmp_path / 'in' / 'training' / 'v1.2' / 'labels').rename(
        tmp_path / 'in' / 'training' / 'labels'
    )
    (tmp_path / 'in' / 'config_v1.2.json').rename(tmp_path / 'in' / 'config.json')
    source = from_mapillary(tmp_path / 'in', val_share=0)
    np.testing.assert_array_equal(label_of(source, tmp_path), MASK % 2)


@pytest.mark.parametrize(
    ('options', 'version', 'message'),
    [
        ({}, 'v3', 'the version must be v2.0 or v1.2, but is'),
        ({}, 'v2.0', r'has no config_v2\.0\.json; name the folder that'),
        (dict(folders=()), None, 'has neither training nor validation'),
        (
            dict(labels=[dict(name='a', color=[1, 2])]),
            None,
            r"must have 'color', \[red, green, blue\]",
        ),
        (dict(labels=[dict(name='a', color=[1, 2, 3])] * 2), None, 'has two labels of the name a'),
        (dict(labels=[3]), None, "must have 'name', a str, but is 3"),
    ],
)
def test_mapillary__files_that_are_wrong(tmp_path, options, version, message):
    with pytest.raises(PrepareError, match=message):
        from_mapillary(export(tmp_path, **options), version=version)


def test_mapillary__a_label_of_no_class(tmp_path):
    source = from_mapillary(export(tmp_path / 'in', labels=LABELS[:5], mask=MASK % 6))
    with pytest.raises(DataError, match=r'a\.png .*5'):
        write_dataset(source, tmp_path / 'out')
