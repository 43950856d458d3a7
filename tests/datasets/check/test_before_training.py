import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import ADE20KDataset

from swinseg.datasets import DataError, FolderDataset
from swinseg.datasets.check import list_split, summary
from swinseg.datasets.check.before_training import check_before_training

PREFIX = {'img_path': 'images', 'seg_map_path': 'annotations'}
HALVES = np.array([[0, 0, 0, 1], [0, 0, 1, 255]], np.uint8)


def build(root, **options):
    options = {'classes': ['ground', 'thing'], 'data_prefix': PREFIX, **options}
    return FolderDataset(data_root=str(root), **options)


def check(dataset, *, name='train', **options):
    """Return the figures of the split."""
    return check_before_training([list_split(name, dataset)], **options).splits[name]


def pixels(report):
    return dict(zip(report.classes.names, report.classes.pixels.tolist(), strict=True))


def test_check__figures(make_set):
    root = make_set({'x': HALVES, 'y': np.zeros((2, 4), np.uint8)})
    report = check(build(root, classes=['ground', 'thing', 'unseen']))
    assert (len(report.split.jobs), report.labeled, report.looked_at) == (2, 2, 2)
    assert pixels(report) == {'ground': 13, 'thing': 2, 'unseen': 0}
    assert report.classes.ignored == 1
    assert report.classes.absent == ('unseen',)
    assert summary(report) == (
        'train set: 2 images, 2 with labels; of 2 looked at, 6.2% of the pixels are ignored'
    )


@pytest.mark.parametrize(('sample', 'expected'), [(1, 1), (4, 4), (100, 9)])
def test_check__sample_is_spread_evenly(make_set, sample, expected):
    # One label in nine is bad, the last one; it is always in a sample of two or more.
    labels = {f'{n}': HALVES for n in range(8)}
    dataset = build(make_set({**labels, '8': np.full((2, 4), 9, np.uint8)}))
    if sample == 1:
        assert check(dataset, sample=1).looked_at == 1
    else:
        with pytest.raises(DataError, match=r'8\.png contains the value 9'):
            check(dataset, sample=sample)
    good = build(make_set({**labels, '8': HALVES}))
    assert check(good, sample=sample).looked_at == expected


@pytest.mark.parametrize(
    'wrapper', [lambda d: ConcatDataset([d, d]), lambda d: RepeatDataset(d, 2)]
)
def test_check__wrapped_datasets(make_set, wrapper):
    report = check(wrapper(build(make_set({'x': HALVES}))))
    assert report.looked_at == 1  # each pair once
    assert pixels(report) == {'ground': 5, 'thing': 2}


def test_check__stock_dataset_gets_the_range_check(make_set):
    root = make_set({'x': np.array([[150, 3], [2, 1]], np.uint8)})
    stock = ADE20KDataset(data_root=str(root), data_prefix=PREFIX)
    assert pixels(check(stock))['flag'] == 1
    make_set({'x': np.array([[151, 3], [2, 1]], np.uint8)})
    with pytest.raises(DataError, match='value 151, which becomes class index 150'):
        check(ADE20KDataset(data_root=str(root), data_prefix=PREFIX))


def test_check__images_without_labels(make_set):
    root = make_set({'x': None})
    report = check(build(root, data_prefix={'img_path': 'images'}))
    assert (report.looked_at, report.labeled) == (1, 0)


def test_check__every_file_must_be_there(make_set):
    root = make_set(dict.fromkeys('uvwxyz', HALVES))
    split = list_split('train', build(root))
    for name in 'vwxy':
        (root / 'annotations' / f'{name}.png').unlink()
    with pytest.raises(
        DataError, match=r'^4 labels cannot be used, the first: label .*v\.png does not exist;'
    ):
        check_before_training([split], sample=1)


def test_check__truncated_image(make_set):
    root = make_set({'x': HALVES})
    path = root / 'images' / 'x.jpg'
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r'x\.jpg is truncated'):
        check(build(root))


def test_check__masks_of_0_and_255(make_set):
    root = make_set({'x': np.array([[0, 255]], np.uint8)})
    with pytest.raises(
        DataError, match=r"only the class 'ground' .* set label_map={0: 0, 255: 1}"
    ) as caught:
        check(build(root))
    assert caught.value.setting == 'label_map={0: 0, 255: 1}'
    assert pixels(check(build(root, label_map={0: 0, 255: 1}))) == {'ground': 1, 'thing': 1}


def test_check__no_images(make_set):
    dataset = build(make_set({'x': HALVES}), indices=[], serialize_data=False)
    with pytest.raises(DataError, match='the dataset has no images'):
        check(dataset)


GROUND = np.zeros((2, 4), np.uint8)
VOID = np.full((2, 4), 255, np.uint8)


@pytest.mark.parametrize(
    ('common', 'rare', 'options'),
    [
        (GROUND, HALVES, {}),
        (VOID, HALVES, {}),
        (np.array([[0, 255]], np.uint8), HALVES, {}),
        (np.array([[0, 1, 2]], np.uint8), np.array([[3]], np.uint8),
         {'reduce_zero_label': True, 'classes': ['a', 'b', 'c']}),
    ],
    ids=['one class', 'all ignored', 'mask', 'zero'],
)  # fmt: skip
def test_check__reads_on_until_a_label_decides(make_set, common, rare, options):
    # 39 labels hold what would be refused if there were no other, and so does every sample of 4 but one in 10.
    labels = {f'{n:02}': common for n in range(40)}
    report = check(build(make_set({**labels, '17': rare}), **options), sample=4)
    assert 4 < report.looked_at <= 40
    # Of images no more than the sample was read.
    assert report.images is not None
    with pytest.raises(DataError, match=r'the 40 labels|never 3'):
        check(build(make_set({'17': common}), **options), sample=4)


def test_check__does_not_read_on_where_the_sample_decides(make_set):
    labels = {f'{n:02}': HALVES for n in range(40)}
    assert check(build(make_set(labels)), sample=4).looked_at == 4


@pytest.mark.parametrize('common', [GROUND, np.array([[0, 1, 2]], np.uint8)], ids=str)
def test_check__few_validation_labels_may_lack_classes(make_set, common):
    options = {'classes': ['a', 'b', 'c'], 'reduce_zero_label': common.max() == 2}
    root = make_set({'x': common + (common.max() == 0) * options['reduce_zero_label']})
    split = list_split('val', build(root, **options))
    report = check_before_training([split])
    assert [finding.severity for finding in report.findings if 'class' in finding.code] == [
        'warning'
    ]
