import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import ADE20KDataset

from swinseg.datasets import DataError, FolderDataset
from swinseg.datasets.integrity import check_before_training

PREFIX = {'img_path': 'images', 'seg_map_path': 'annotations'}
HALVES = np.array([[0, 0, 0, 1], [0, 0, 1, 255]], np.uint8)


def build(root, **options):
    options = {'classes': ['ground', 'thing'], 'data_prefix': PREFIX, **options}
    return FolderDataset(data_root=str(root), **options)


def test_check__summary(make_set):
    root = make_set({'x': HALVES, 'y': np.zeros((2, 4), np.uint8)})
    summary = check_before_training(build(root, classes=['ground', 'thing', 'unseen']))
    assert (summary.images, summary.labelled, summary.sampled) == (2, 2, 2)
    assert summary.class_pixels == {'ground': 13, 'thing': 2, 'unseen': 0}
    assert summary.ignored_pixels == 1
    assert summary.absent == ('unseen',)
    assert summary.class_shares['thing'] == pytest.approx(2 / 15)
    assert '86.67%  ground' in str(summary)
    assert 'not in the sample: unseen' in str(summary)


def test_check__summary_of_many_classes_is_short(make_set):
    root = make_set({'x': np.arange(100, dtype=np.uint8).reshape(10, 10)})
    lines = str(check_before_training(build(root, classes=[f'{n}' for n in range(200)]))).split(
        '\n'
    )
    assert len(lines) == 23
    assert lines[-2] == '  and 80 rarer classes'
    assert lines[-1].endswith(' and 90 more')


@pytest.mark.parametrize(('sample', 'expected'), [(1, 1), (4, 4), (100, 9)])
def test_check__sample_is_spread_evenly(make_set, sample, expected):
    # One label in nine is bad, the last one; it is always in a sample of two or more.
    labels = {f'{n}': HALVES for n in range(8)}
    dataset = build(make_set({**labels, '8': np.full((2, 4), 9, np.uint8)}))
    if sample == 1:
        assert check_before_training(dataset, sample=1).sampled == 1
    else:
        with pytest.raises(DataError, match=r'8\.png contains the value 9'):
            check_before_training(dataset, sample=sample)
    good = build(make_set({**labels, '8': HALVES}))
    assert check_before_training(good, sample=sample).sampled == expected


@pytest.mark.parametrize(
    'wrapper', [lambda d: ConcatDataset([d, d]), lambda d: RepeatDataset(d, 2)]
)
def test_check__wrapped_datasets(make_set, wrapper):
    summary = check_before_training(wrapper(build(make_set({'x': HALVES}))))
    assert summary.images == 2
    assert summary.class_pixels == {'ground': 10, 'thing': 4}


def test_check__stock_dataset_gets_the_range_check(make_set):
    root = make_set({'x': np.full((3, 3), 150, np.uint8)})
    assert (
        check_before_training(ADE20KDataset(data_root=str(root), data_prefix=PREFIX)).class_pixels[
            'flag'
        ]
        == 9
    )
    make_set({'x': np.full((3, 3), 151, np.uint8)})
    with pytest.raises(DataError, match='value 151, which becomes class index 150'):
        check_before_training(ADE20KDataset(data_root=str(root), data_prefix=PREFIX))


def test_check__images_without_labels(make_set):
    root = make_set({'x': None})
    summary = check_before_training(build(root, data_prefix={'img_path': 'images'}))
    assert (summary.images, summary.labelled) == (1, 0)


def test_check__file_gone_since(make_set):
    root = make_set(dict.fromkeys('vwxyz', HALVES))
    dataset = build(root)
    for name in 'vwxy':
        (root / 'annotations' / f'{name}.png').unlink()
    with pytest.raises(
        DataError, match=r'4 of the files .* do not exist: .*v\.png, .* and 1 more;'
    ):
        check_before_training(dataset, sample=1)


def test_check__truncated_image(make_set):
    root = make_set({'x': HALVES})
    path = root / 'images' / 'x.jpg'
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r'x\.jpg is truncated'):
        check_before_training(build(root))


def test_check__everything_ignored(make_set):
    root = make_set({'x': HALVES})
    with pytest.raises(DataError, match=r'all pixels of the 1 labels .* are ignored'):
        check_before_training(build(root, label_map={77: 0, 78: 1}))


def test_check__masks_of_0_and_255(make_set):
    root = make_set({'x': np.array([[0, 255]], np.uint8)})
    with pytest.raises(DataError, match=r"only the class 'ground' .* set label_map={0: 0, 255: 1}"):
        check_before_training(build(root))
    summary = check_before_training(build(root, label_map={0: 0, 255: 1}))
    assert summary.class_pixels == {'ground': 1, 'thing': 1}


def test_check__no_images(make_set):
    dataset = build(make_set({'x': HALVES}), indices=[], serialize_data=False)
    with pytest.raises(DataError, match='the dataset has no images'):
        check_before_training(dataset)
