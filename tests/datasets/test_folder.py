import pickle
import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from swinseg.cli import one_sentence
from swinseg.datasets import DataError, FolderDataset
from swinseg.engine import load_config

PREFIX = {'img_path': 'images', 'seg_map_path': 'annotations'}
PIPELINE = [{'type': 'mmseg.LoadImage'}, {'type': 'mmseg.LoadLabel'}]
LABEL = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def build(root, **options):
    options = {'classes': ['a', 'b', 'c'], 'pipeline': PIPELINE, 'data_prefix': PREFIX, **options}
    return DATASETS.build({'type': 'FolderDataset', 'data_root': str(root), **options})


def labels(dataset, index=0):
    return dataset[index]['gt_seg_map'].tolist()


# Real files of every kind


def test_folder__real_camvid(real_data):
    config = load_config('configs/_base_/datasets/camvid.py')
    config.val_dataloader.dataset.data_root = str(real_data / 'camvid')
    dataset = DATASETS.build(
        {**config.val_dataloader.dataset, 'pipeline': PIPELINE, '_scope_': 'mmseg'}
    )
    assert len(dataset) == 101
    first = dataset[0]
    raw = np.array(Image.open(first['seg_map_path']))
    np.testing.assert_array_equal(first['gt_seg_map'], np.where(raw == 11, 255, raw))
    assert (raw == 11).any()
    assert first['img'].shape == (360, 480, 3)


def test_folder__real_palette_labels(real_data):
    dataset = build(
        real_data / 'formats',
        data_prefix={'img_path': 'palette_voc', 'seg_map_path': 'palette_voc'},
        img_suffix='.jpg',
        seg_map_suffix='.png',
        classes=[f'class {index}' for index in range(21)],
    )
    assert len(dataset) == 4
    for item in dataset:
        np.testing.assert_array_equal(
            item['gt_seg_map'], np.array(Image.open(item['seg_map_path']))
        )


def test_folder__real_1_bit_labels(real_data):
    dataset = build(
        real_data / 'formats',
        data_prefix={'img_path': 'bit_masks_chase', 'seg_map_path': 'bit_masks_chase'},
        img_suffix='.jpg',
        seg_map_suffix='_1stHO.png',
        classes=['background', 'vessel'],
    )
    assert len(dataset) == 2
    assert all(set(np.unique(item['gt_seg_map'])) == {0, 1} for item in dataset)


def test_folder__real_gray_images_and_masks_of_255(real_data):
    dataset = build(
        real_data / 'formats' / 'grey_membrane',
        classes=['membrane', 'cell'],
        label_map={0: 0, 255: 1},
    )
    item = dataset[1]
    assert item['img'].shape == (*item['gt_seg_map'].shape, 3)
    raw = np.array(Image.open(item['seg_map_path']))
    np.testing.assert_array_equal(item['gt_seg_map'], raw // 255)


def test_folder__real_cityscapes_names_and_ids(real_data):
    dataset = build(
        real_data,
        data_prefix={'img_path': 'cityscapes', 'seg_map_path': 'cityscapes'},
        img_suffix='_leftImg8bit.jpg',
        seg_map_suffix='_gtFine_labelIds.png',
        classes=['road', 'car'],
        label_map={7: 0, 26: 1},
    )
    assert len(dataset) == 2
    item = dataset[0]
    raw = np.array(Image.open(item['seg_map_path']))
    expected = np.full_like(raw, 255)
    expected[raw == 7], expected[raw == 26] = 0, 1
    np.testing.assert_array_equal(item['gt_seg_map'], expected)


# What label values mean


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, [[0, 1, 2], [2, 1, 0]]),
        ({'ignore_values': [2], 'classes': ['a', 'b']}, [[0, 1, 255], [255, 1, 0]]),
        ({'label_map': {0: 2, 2: 0}}, [[2, 255, 0], [0, 255, 2]]),
        ({'label_map': {0: 2, 2: 0}, 'ignore_values': [1]}, [[2, 255, 0], [0, 255, 2]]),
        ({'label_map': {0: 2, 2: 2}, 'ignore_index': 9}, [[2, 9, 2], [2, 9, 2]]),
        ({'label_map': {'0': 1, '1': 1, '2': 0}}, [[1, 1, 0], [0, 1, 1]]),
        ({'reduce_zero_label': True, 'classes': ['a', 'b']}, [[255, 0, 1], [1, 0, 255]]),
        ({'metainfo': {'classes': ['c', 'a']}}, [[1, 255, 0], [0, 255, 1]]),
        ({'label_map': {0: 2, 2: 0}, 'metainfo': {'classes': ['c']}}, [[0, 255, 255], [255, 255, 0]]),
        ({'reduce_zero_label': True, 'classes': ['a', 'b'], 'metainfo': {'classes': ['b']}},
         [[255, 255, 0], [0, 255, 255]]),
    ],
)  # fmt: skip
def test_folder__label_rules(make_set, options, expected):
    assert labels(build(make_set({'x': LABEL}), **options)) == expected


def test_folder__16_bit_labels(make_set):
    root = make_set({'x': np.array([[7000, 26001, 0]], np.uint16)})
    assert labels(build(root, label_map={7000: 0, 26001: 2})) == [[0, 2, 255]]


def test_folder__value_that_neither_list_names(make_set):
    dataset = build(make_set({'x': LABEL}), label_map={0: 0, 1: 1}, ignore_values=[9])
    with pytest.raises(DataError, match='value 2, which neither label_map nor ignore_values names'):
        dataset[0]


# Classes and colors


def test_folder__colors_are_made_up_where_none_are_given(make_set):
    root = make_set({'x': LABEL})
    palette = build(root).metainfo['palette']
    assert len({tuple(color) for color in palette}) == 3
    subset = build(root, metainfo={'classes': ['c']})
    assert subset.metainfo['palette'] == palette[2:]


def test_folder__classes_and_palette_of_metainfo_as_in_mmseg(make_set):
    metainfo = {'classes': ('a', 'b', 'c'), 'palette': [[1, 1, 1], [2, 2, 2], [3, 3, 3]]}
    dataset = build(make_set({'x': LABEL}), classes=None, metainfo=metainfo)
    assert tuple(dataset.metainfo['classes']) == ('a', 'b', 'c')
    assert dataset.metainfo['palette'] == metainfo['palette']
    assert labels(dataset) == LABEL.tolist()


CLASSES_YAML = """
classes:
  - {name: road, color: [128, 64, 128], values: [1]}
  - {name: person, color: '#dc143c', values: [2, 300]}
ignore_values: [0]
"""


@pytest.mark.parametrize('where', ['relative to data_root', 'absolute'])
def test_folder__classes_file(make_set, where):
    root = make_set({'x': LABEL})
    (root / 'classes.yaml').write_text(CLASSES_YAML)
    name = 'classes.yaml' if where == 'relative to data_root' else str(root / 'classes.yaml')
    dataset = build(root, classes=None, classes_file=name)
    assert dataset.metainfo['classes'] == ['road', 'person']
    assert dataset.metainfo['palette'] == [[128, 64, 128], [220, 20, 60]]
    assert labels(dataset) == [[255, 0, 1], [1, 0, 255]]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'classes': None}, 'FolderDataset has no class names'),
        ({'classes': 'road'}, "must be a list of names, found 'road'; set classes=\\['road'\\]"),
        ({'classes': [f'{n}' for n in range(256)]}, 'takes at most 255 classes, found 256'),
        ({'palette': [[1, 2, 3]]}, 'palette has 1 colors for 3 classes'),
        ({'classes_file': 'a.yaml'}, 'classes_file and classes are both given'),
        ({'label_map': {0: 3}}, 'sends the raw value 0 to 3, expected a class index from 0 to 2'),
        ({'label_map': {-1: 0}}, 'must map raw values .* found -1: 0'),
        ({'label_map': {0: 'a'}}, "must map raw values .* found 0: 'a'"),
        (
            {'label_map': {0: 0}, 'ignore_values': [0]},
            'raw value 0 is in label_map and in ignore_values',
        ),
        ({'label_map': {0: 0}, 'reduce_zero_label': True}, 'leave reduce_zero_label out'),
        ({'ignore_values': [-1]}, 'raw label value -1'),
        ({'ignore_index': -100}, 'ignore_index must be 0 to 255 .*, not -100'),
        ({'data_prefix': {'seg_map_path': 'annotations'}}, 'must name the folder of images'),
        ({'data_prefix': None}, 'must name the folder of images'),
        ({'metainfo': {'classes': ['d']}}, "has no class named 'd'"),
    ],
)
def test_folder__bad_options(make_set, options, expected):
    root = make_set({'x': LABEL})
    with pytest.raises(DataError, match=expected) as caught:
        build(root, **options)
    assert '\n' not in str(caught.value)


# Files


def test_folder__any_suffix_and_subfolders(make_set):
    root = make_set({'one/x': LABEL}, image_suffix='.tiff', label_suffix='.bmp')
    assert labels(build(root)) == LABEL.tolist()


def test_folder__names_file(make_set):
    root = make_set({'x': LABEL, 'y': LABEL, 'z': LABEL})
    (root / 'val.txt').write_text('z\nx\n')
    dataset = build(root, ann_file='val.txt')
    assert [dataset.get_data_info(i)['img_path'][-5] for i in range(len(dataset))] == ['z', 'x']


def test_folder__images_without_labels(make_set):
    root = make_set({'x': None})
    dataset = build(root, data_prefix={'img_path': 'images'}, test_mode=True, pipeline=PIPELINE[:1])
    assert dataset[0]['img'].shape == (8, 10, 3)
    assert 'seg_map_path' not in dataset[0]


@pytest.mark.parametrize(
    ('missing', 'expected'),
    [
        ('folder', 'the folder of images .* does not exist; set data_root and data_prefix'),
        ('images', 'no image whose name ends in'),
        ('label', '2 of 3 images have no label in .*: x.jpg, z.jpg; expected for example x.png'),
    ],
)
def test_folder__missing(make_set, tmp_path, missing, expected):
    if missing == 'images':
        (tmp_path / 'images').mkdir()
    elif missing == 'label':
        make_set({'x': None, 'y': LABEL, 'z': None})
    with pytest.raises(DataError, match=expected):
        build(tmp_path)


# mmengine's and PyTorch's machinery


def test_folder__lazy_init_touches_no_files(tmp_path):
    dataset = build(tmp_path / 'nowhere', lazy_init=True)
    assert list(dataset.metainfo['classes']) == ['a', 'b', 'c']
    with pytest.raises(DataError, match='does not exist'):
        dataset.full_init()


@pytest.mark.parametrize('serialize_data', [True, False])
def test_folder__indices_subset_and_pickle(make_set, serialize_data):
    root = make_set(dict.fromkeys('vwxyz', LABEL))
    dataset = build(root, serialize_data=serialize_data, indices=4)
    assert len(dataset) == 4
    assert len(dataset.get_subset([0, 2])) == 2
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy[3]['img_path'] == dataset[3]['img_path']
    assert labels(copy, 3) == LABEL.tolist()


def test_folder__options_are_not_changed(make_set):
    root = make_set({'x': LABEL})
    options = {
        'classes': ['a', 'b', 'c'],
        'label_map': {0: 0, 1: 1, 2: 2},
        'metainfo': {'classes': ['a']},
        'data_prefix': dict(PREFIX),
        'pipeline': [dict(step) for step in PIPELINE],
    }
    before = pickle.dumps(options)
    FolderDataset(data_root=str(root), **options)
    assert pickle.dumps(options) == before


def test_folder__stock_mmseg_pipeline(make_set):
    root = make_set({'x': LABEL})
    # mmcv's: 'mmseg.' before it is found only while no default scope is set.
    stock = [{'type': 'LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}]
    options = {'ignore_values': [2], 'classes': ['a', 'b']}
    theirs = build(root, pipeline=[*stock, {'type': 'mmseg.PackSegInputs'}], **options)[0]
    ours = build(root, pipeline=[*PIPELINE, {'type': 'mmseg.PackSegInputs'}], **options)[0]
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert torch.equal(ours['data_samples'].gt_sem_seg.data, theirs['data_samples'].gt_sem_seg.data)


def test_folder__from_a_config_file_with_a_label_map(make_set, tmp_path):
    root = make_set({'x': LABEL})
    path = tmp_path / 'config.py'
    path.write_text(
        "dataset = dict(type='FolderDataset', classes=['a', 'b'], label_map={0: 1, 2: 0},\n"
        f'    data_root={str(root)!r}, data_prefix=dict(img_path="images", seg_map_path="annotations"),\n'
        "    pipeline=[dict(type='mmseg.LoadImage'), dict(type='mmseg.LoadLabel')])\n"
    )
    assert labels(DATASETS.build(Config.fromfile(path).dataset)) == [[1, 255, 0], [0, 255, 1]]


@pytest.mark.parametrize(
    ('raw', 'expected'),
    [
        (np.full((2, 3), 7, np.uint8), r'label .*y\.png contains the value 7 but expected 0 to 2'),
        (np.zeros((2, 3, 3), np.uint8), r'label .*y\.png has 3 channels \(RGB\), expected one'),
    ],
)
def test_folder__error_survives_a_worker_process(make_set, tmp_path, raw, expected):
    root = make_set({'x': LABEL, 'y': LABEL})
    assert cv2.imwrite(str(tmp_path / 'annotations' / 'y.png'), raw)
    batches = iter(DataLoader(build(root), batch_size=1, num_workers=2, collate_fn=pseudo_collate))
    with pytest.raises(DataError) as caught:
        list(batches)
    # Left to the garbage collector, with the traceback, the workers would be waited for ten seconds.
    batches._shutdown_workers()
    assert 'Traceback' in str(caught.value)
    sentence = one_sentence(caught.value)
    assert '\n' not in sentence
    assert re.match(expected, sentence)


def test_folder__instance_numbers(make_set):
    raw = np.array([[0, 1, 2, 1000, 2007, 255]], np.uint16)
    options = {'classes': ['a', 'b', 'c'], 'instance_divisor': 1000}
    dataset = build(make_set({'x': raw}), **options)
    assert labels(dataset) == [[0, 1, 2, 1, 2, 255]]
    mapped = build(make_set({'x': raw}), **options, label_map={1: 0, 2: 2}, ignore_values=[0])
    assert labels(mapped) == [[255, 0, 2, 0, 2, 255]]
    with pytest.raises(DataError, match=r'instance_divisor must be .* not 1'):
        build(make_set({'x': raw}), **{**options, 'instance_divisor': 1})


# Arguments of mmseg's datasets


@pytest.mark.parametrize('backend_args', [None, {'backend': 'local'}])
def test_folder__files_of_this_machine(real_data, backend_args):
    root = real_data / 'camvid'
    prefix = {'img_path': 'images/val', 'seg_map_path': 'annotations/val'}
    dataset = build(root, data_prefix=prefix, lazy_init=True, backend_args=backend_args)
    assert dataset.backend_args == backend_args


@pytest.mark.parametrize(
    'backend_args', [{'backend': 'petrel'}, {'path_mapping': {}}, 'local', {'backend': ['local']}]
)
def test_folder__files_elsewhere_have_a_sentence(tmp_path, backend_args):
    with pytest.raises(DataError, match=r"dict\(backend='local'\), found .*; mount the storage"):
        FolderDataset(
            data_root=str(tmp_path), data_prefix=PREFIX, classes=['a'], lazy_init=True,
            backend_args=backend_args,
        )  # fmt: skip
