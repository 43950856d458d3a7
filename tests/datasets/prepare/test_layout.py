"""Writing the plain layout: complete and read back, or not at all."""

import numpy as np
import pytest
import yaml
from PIL import Image

from swinseg.datasets import DataError, FolderDataset
from swinseg.datasets.prepare import PrepareError, Sample, Source, summary, write_dataset
from swinseg.datasets.prepare.source import split_by_name

LABEL = np.array([[0, 1, 1], [255, 0, 1]], np.uint8)


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.full((2, 3, 3), 9, np.uint8)).save(tmp_path / 'photo.PNG')
    return tmp_path / 'photo.PNG'


def source(*samples):
    return Source(['yes', 'road'], [[1, 2, 3], [200, 100, 0]], samples)


def sample(image, name='a', split='train', label=LABEL):
    return Sample(name, split, image, lambda: label)


def test_write_dataset__is_read_by_folder_dataset(image, tmp_path):
    out = tmp_path / 'new' / 'set'
    steps = []
    written = write_dataset(
        source(sample(image), sample(image, 'x/b', 'val', np.ones((2, 3), np.uint8))),
        out, progress=lambda *each: steps.append(each),
    )  # fmt: skip
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['set']
    assert yaml.safe_load((out / 'classes.yaml').read_text()) == {
        'classes': [
            {'name': 'yes', 'color': [1, 2, 3]}, {'name': 'road', 'color': [200, 100, 0]},
        ],
    }  # fmt: skip
    assert written.images == {'train': 1, 'val': 1}
    assert (written.pixels.tolist(), written.ignored) == ([2, 9], 1)
    dataset = FolderDataset(
        data_root=str(out), classes_file='classes.yaml',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
    )  # fmt: skip
    assert len(dataset) == 1
    assert dataset.metainfo['classes'] == ['yes', 'road']


def test_summary__counts_and_an_entry_that_works(image, tmp_path):
    # The names decide the order of the images, not of the lines.
    samples = [
        sample(image, name, split, LABEL * 0) for name, split in (('a', 'val'), ('b', 'train'))
    ]
    written = write_dataset(source(*samples), tmp_path / 'set')
    lines = summary(written).splitlines()
    assert lines[:3] == [
        f'{tmp_path}/set: 1 val, 1 train images, 2 classes, all read back',
        '0.0% of the pixels are ignored',
        'no pixel is road',
    ]
    assert len(lines) == 5
    for line, split in zip(lines[3:], ('train', 'val'), strict=True):
        entry = line.removeprefix(f'in a config, for {split}: dataset=')
        settings = eval(entry, {'dict': dict})
        assert settings.pop('type') == 'FolderDataset'
        assert len(FolderDataset(**settings)) == 1
        assert settings['data_prefix']['img_path'] == f'images/{split}'


@pytest.mark.parametrize(
    ('samples', 'message'),
    [
        ([], 'there are no images to convert'),
        ([('a', LABEL), ('a', LABEL)], 'two images are called a'),
        ([('../b', LABEL)], r'the name \.\./b leads out'),
        ([('a', LABEL[:1])], 'size'),
        ([('a', LABEL + 2)], r'a\.png'),
    ],
    ids=['none', 'twice', 'outside', 'size', 'value'],
)
def test_write_dataset__mistakes_leave_nothing(image, tmp_path, samples, message):
    with pytest.raises(DataError, match=message):
        write_dataset(
            source(*(sample(image, name, label=label) for name, label in samples)), tmp_path / 'set'
        )
    assert [path.name for path in tmp_path.iterdir()] == ['photo.PNG']


def test_write_dataset__an_image_that_is_cut_short(image, tmp_path):
    image.write_bytes(image.read_bytes()[:-8])
    with pytest.raises(DataError, match='truncated'):
        write_dataset(source(sample(image)), tmp_path / 'set')
    assert not (tmp_path / 'set').exists()


def test_write_dataset__keeps_what_is_there(image, tmp_path, monkeypatch):
    with pytest.raises(PrepareError, match='exists and is not empty; name a new folder'):
        write_dataset(source(sample(image)), tmp_path)
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    assert write_dataset(source(sample(image)), '.').folder == tmp_path / 'empty'
    assert (tmp_path / 'empty' / 'classes.yaml').is_file()


def test_split_by_name__folders_say_it():
    names = ['training/a.jpg', 'Validation/b.jpg', 'test/c/d.jpg']
    assert list(split_by_name(names, val_share=0.5).values()) == [
        ('train', 'a.jpg'), ('val', 'b.jpg'), ('test', 'c/d.jpg'),
    ]  # fmt: skip


@pytest.mark.parametrize(('share', 'expected'), [(0, 0), (0.1, 2), (0.5, 10)])
def test_split_by_name__holds_out_the_same_names_every_time(share, expected):
    names = [f'city/{number}.jpg' for number in range(20)]
    splits = split_by_name(names, val_share=share)
    assert [split for split, _ in splits.values()].count('val') == expected
    assert [name for _, name in splits.values()] == names
    assert splits == split_by_name(names[::-1], val_share=share)


@pytest.mark.parametrize('share', [-0.1, 1, 10])
def test_split_by_name__no_share(share):
    with pytest.raises(PrepareError, match=r'must be in \[0, 1\)'):
        split_by_name(['a'], val_share=share)
