import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from mmseg.registry import DATASETS

from swinseg.datasets import ADE20K, DataError

PREFIX = {'img_path': 'images', 'seg_map_path': 'annotations'}
PIPELINE = [{'type': 'mmseg.LoadImage'}, {'type': 'mmseg.LoadLabel'}]
# LoadImageFromFile is mmcv's: 'mmseg.' before it is found only while no default scope is set.
STOCK_PIPELINE = [{'type': 'LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}]
NAMES = list(ADE20KDataset.METAINFO['classes'])
COLORS = [list(color) for color in ADE20KDataset.METAINFO['palette']]
ALL_VALUES = np.arange(151, dtype=np.uint8).reshape(1, 151).repeat(2, axis=0)


@pytest.mark.parametrize('split', ['training', 'validation'])
def test_ade20k__real_files_as_mmseg(real_data, split):
    options = {
        'data_root': str(real_data / 'ade20k'),
        'data_prefix': {'img_path': f'images/{split}', 'seg_map_path': f'annotations/{split}'},
    }
    ours = DATASETS.build({'type': 'ADE20K', 'pipeline': PIPELINE, **options})
    theirs = ADE20KDataset(pipeline=STOCK_PIPELINE, **options)
    assert len(ours) == len(theirs) > 5
    assert ours.metainfo == theirs.metainfo
    for index in range(0, len(ours), 4):
        mine, stock = ours[index], theirs[index]
        assert mine['img_path'] == stock['img_path']
        assert mine['seg_map_path'] == stock['seg_map_path']
        np.testing.assert_array_equal(mine['img'], stock['img'])
        np.testing.assert_array_equal(mine['gt_seg_map'], stock['gt_seg_map'])


@pytest.mark.parametrize(
    'subset', [['wall'], ['water', 'sky', 'road'], NAMES[::-1], NAMES[:149], ['flag', 'wall']]
)
def test_ade20k__subset_of_classes(make_set, subset):
    root = make_set({'a': ALL_VALUES})
    dataset = ADE20K(
        data_root=str(root), data_prefix=PREFIX, metainfo={'classes': subset}, pipeline=PIPELINE
    )
    label = dataset[0]['gt_seg_map']
    expected = [255] + [subset.index(name) if name in subset else 255 for name in NAMES]
    np.testing.assert_array_equal(label[0], expected)
    assert dataset.metainfo['classes'] == subset
    assert dataset.metainfo['palette'] == [COLORS[NAMES.index(name)] for name in subset]


def test_ade20k__subset_as_mmseg(make_set):
    root = make_set({'a': ALL_VALUES})
    options = {
        'data_root': str(root),
        'data_prefix': PREFIX,
        'metainfo': {'classes': ('sky', 'person', 'wall')},
    }
    ours = ADE20K(pipeline=PIPELINE, **options)
    theirs = ADE20KDataset(pipeline=STOCK_PIPELINE, **options)
    np.testing.assert_array_equal(ours[0]['gt_seg_map'], theirs[0]['gt_seg_map'])
    assert ours.metainfo == theirs.metainfo


def test_ade20k__palette_of_the_user(make_set):
    root = make_set({'a': ALL_VALUES})
    metainfo = {'classes': ['wall', 'sky'], 'palette': [[1, 2, 3], [4, 5, 6]]}
    dataset = ADE20K(data_root=str(root), data_prefix=PREFIX, metainfo=metainfo)
    assert dataset.metainfo['palette'] == [[1, 2, 3], [4, 5, 6]]


def test_ade20k__subset_can_ignore_with_another_index(make_set):
    root = make_set({'a': ALL_VALUES})
    dataset = ADE20K(
        data_root=str(root),
        data_prefix=PREFIX,
        metainfo={'classes': ['wall', 'building']},
        ignore_index=254,
        pipeline=PIPELINE,
    )
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'][0], [254, 0, 1] + [254] * 148)


@pytest.mark.parametrize('classes', [None, ['wall', 'sky']])
def test_ade20k__value_beyond_150(make_set, classes):
    root = make_set({'a': np.full((4, 4), 151, np.uint8)})
    dataset = ADE20K(
        data_root=str(root),
        data_prefix=PREFIX,
        metainfo=classes and {'classes': classes},
        pipeline=PIPELINE,
    )
    with pytest.raises(
        DataError, match=r'a\.png contains the value 151, which becomes class index 150'
    ):
        dataset[0]


@pytest.mark.parametrize(
    ('metainfo', 'expected'),
    [
        (
            {'classes': ['wall', 'dragon']},
            "ADE20K has no class named 'dragon'; its 150 classes are wall, ",
        ),
        ({'classes': ['wall', 'sky', 'wall']}, 'ADE20K has the class wall twice'),
        ({'classes': []}, 'ADE20K has no class names'),
        (
            {'classes': ['wall'], 'palette': [[1, 2, 3], [4, 5, 6]]},
            'palette has 2 colors for 1 classes',
        ),
        ({'classes': ['wall'], 'palette': [[1, 2, 300]]}, 'a color must be'),
    ],
)
def test_ade20k__bad_classes(make_set, metainfo, expected):
    root = make_set({'a': ALL_VALUES})
    with pytest.raises(DataError, match=expected):
        ADE20K(data_root=str(root), data_prefix=PREFIX, metainfo=metainfo)


def test_ade20k__missing_data_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError) as caught:
        ADE20K(data_root=str(tmp_path / 'ade'), data_prefix=PREFIX)
    message = str(caught.value)
    assert 'does not exist; get it with: swinseg prepare ade20k' in message
    assert f'--out {tmp_path / "ade"}, or set data_root to where its folders images' in message
    assert '\n' not in message


def test_ade20k__missing_mini_set_says_how_to_draw_it(tmp_path):
    from swinseg.datasets.mini.dataset import CLASSES

    with pytest.raises(DataError, match=f'swinseg prepare mini --out {tmp_path}$'):
        ADE20K(data_root=str(tmp_path), data_prefix=PREFIX, metainfo={'classes': CLASSES})


def test_ade20k__unknown_option_is_not_swallowed(make_set):
    with pytest.raises(TypeError, match='reduce_zero_labels'):
        ADE20K(data_root='.', data_prefix=PREFIX, reduce_zero_labels=True)
