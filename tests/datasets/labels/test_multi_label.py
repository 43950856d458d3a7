import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from swinseg.datasets import DataError
from swinseg.datasets.check import check_splits, list_split
from swinseg.datasets.labels.multi_label import (
    MultiLabelRule,
    bits_of_masks,
    combinations_of,
    plane_of_mask,
    planes_of_bits,
)
from swinseg.datasets.transforms.resize_crop import NearestResize
from swinseg.report.dataset_page import dataset_page

NAMES = ('road', 'marking', 'shadow')
BITS = np.array([[0, 1, 3], [4, 7, 2]], np.uint8)
PIPELINE = [{'type': 'LoadImage'}, {'type': 'LoadLabel'}]
PREFIX = {'img_path': 'images', 'seg_map_path': 'labels'}


def rule(names=NAMES, **options):
    options = {'layout': 'bits', 'chosen': tuple(range(len(names))), **options}
    return MultiLabelRule(names=tuple(names), **options)


def build(root, **options):
    options = {'classes': NAMES, 'multi_label': 'bits', 'pipeline': PIPELINE, **options}
    return DATASETS.build(
        {'type': 'FolderDataset', '_scope_': 'mmseg', 'data_root': str(root), 'data_prefix': PREFIX, **options}
    )  # fmt: skip


def write_image(root, name='a', shape=(2, 3)):
    (root / 'images').mkdir(exist_ok=True, parents=True)
    Image.fromarray(np.full((*shape, 3), 90, np.uint8)).save(root / 'images' / f'{name}.png')


def write_bits(root, bits=BITS, name='a'):
    write_image(root, name, bits.shape)
    (root / 'labels').mkdir(exist_ok=True)
    Image.fromarray(bits).save(root / 'labels' / f'{name}.png')
    return root


def write_masks(root, masks, name='a'):
    for folder, mask in masks.items():
        write_image(root, name, np.shape(mask))
        (root / 'labels' / folder).mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.asarray(mask, np.uint8)).save(root / 'labels' / folder / f'{name}.png')
    return root


def write_bands(path, bands):
    rasterio = pytest.importorskip('rasterio')
    count, height, width = bands.shape
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=count, dtype=bands.dtype
    ) as file:
        file.write(bands)


def check(*datasets):
    return check_splits(
        [list_split(name, each) for name, each in zip(('train', 'val'), datasets, strict=False)],
        workers=1,
    )


# Bits


@given(
    arrays.arrays(np.uint16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=5)),
    st.integers(1, 16),
)
def test_planes_of_bits__are_put_together_again(bits, classes):
    bits = bits & np.uint16((1 << classes) - 1)
    planes = planes_of_bits(bits[..., None], 'x', rule([str(i) for i in range(classes)]))
    assert planes.shape == (*bits.shape, classes)
    np.testing.assert_array_equal(
        bits_of_masks(planes.transpose(2, 0, 1) > 0, classes=classes, shape=bits.shape), bits
    )


def test_planes_of_bits__chosen_classes_and_ignored_values():
    planes = planes_of_bits(
        np.array([[0, 1, 5, 128]], np.uint8)[..., None],
        'x',
        rule(chosen=(2, 0), ignore_values=(128,), ignore_index=200),
    )
    assert planes[0].tolist() == [[0, 0], [0, 1], [1, 1], [200, 200]]


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_planes_of_bits__bands_go_on_where_the_band_before_ends(dtype):
    bits = 8 * np.dtype(dtype).itemsize
    raw = np.zeros((1, 2, 2), dtype)
    raw[0, 0, 0] = 1 << (bits - 1)
    raw[0, 1, 1] = 2
    planes = planes_of_bits(raw, 'x', rule([str(i) for i in range(bits + 2)]))
    assert [np.flatnonzero(pixel).tolist() for pixel in planes[0]] == [[bits - 1], [bits + 1]]


def test_planes_of_bits__a_bit_of_no_class():
    with pytest.raises(
        DataError, match=r'x holds the value 17, in which bit 4 is set, but the 3 classes'
    ):
        planes_of_bits(np.array([[1, 17]], np.uint8)[..., None], 'x', rule())


@given(arrays.arrays(np.uint8, (4, 5, 3), elements=st.sampled_from([0, 1, 255])))
def test_combinations_of__equal_where_the_classes_are(planes):
    found = combinations_of(planes).reshape(-1)
    pixels = np.where(planes == 1, 1, 0).reshape(-1, 3)
    ignored = (planes == 255).all(axis=2).reshape(-1)
    np.testing.assert_array_equal(found == 255, ignored)
    for i in range(len(pixels)):
        for j in range(i):
            if not ignored[i] and not ignored[j]:
                assert (found[i] == found[j]) == (pixels[i] == pixels[j]).all()


def test_combinations_of__of_many_classes():
    planes = np.zeros((1, 3, 70), np.uint8)
    planes[0, 1, 0] = planes[0, 2, 69] = 1
    assert len(set(combinations_of(planes)[0].tolist())) == 3


# Masks


@pytest.mark.parametrize('mark', [1, 255])
def test_plane_of_mask__any_mark(mark):
    raw = np.array([[0, mark, 7]], np.uint8)
    assert plane_of_mask(raw, 'x', rule(ignore_values=(7,))).tolist() == [[0, 1, 255]]


def test_plane_of_mask__index_labels():
    with pytest.raises(
        DataError, match=r'mask x holds the values 0, 1, 2, but the mask of one class has 0'
    ):
        plane_of_mask(np.array([[0, 1, 2]], np.uint8), 'x', rule())


# Datasets


def test_folder_dataset__bits(tmp_path):
    item = build(write_bits(tmp_path))[0]
    assert item['gt_seg_map'].dtype == np.uint8
    np.testing.assert_array_equal(
        item['gt_seg_map'], np.stack([BITS >> k & 1 for k in range(3)], axis=2)
    )


def test_folder_dataset__bands_of_a_tiff(tmp_path):
    write_image(tmp_path)
    (tmp_path / 'labels').mkdir()
    bands = np.stack([BITS, BITS[::-1], np.zeros_like(BITS)])
    write_bands(tmp_path / 'labels' / 'a.tif', bands)
    names = [f'class {index}' for index in range(20)]
    planes = build(tmp_path, classes=names)[0]['gt_seg_map']
    for index in range(20):
        expected = bands[index // 8] >> index % 8 & 1
        np.testing.assert_array_equal(planes[..., index], expected)


def test_folder_dataset__channels_of_a_png(tmp_path):
    write_image(tmp_path)
    (tmp_path / 'labels').mkdir()
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / 'labels' / 'a.png')
    with pytest.raises(DataError, match='several channels, but a bit mask has one'):
        build(tmp_path)[0]


def test_folder_dataset__folders(tmp_path):
    masks = {name: np.where(BITS >> k & 1, 255, 0) for k, name in enumerate(NAMES)}
    write_masks(tmp_path, masks)
    item = build(tmp_path, multi_label='folders')[0]
    np.testing.assert_array_equal(
        item['gt_seg_map'], np.stack([BITS >> k & 1 for k in range(3)], axis=2)
    )


def test_folder_dataset__classes_chosen_by_metainfo(tmp_path):
    write_masks(tmp_path, {'shadow': [[0, 1]], 'road': [[1, 1]]})
    dataset = build(tmp_path, multi_label='folders', metainfo={'classes': ['shadow', 'road']})
    assert dataset[0]['gt_seg_map'][0].tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ('missing', 'expected'), [('empty', [[0, 1], [0, 0]]), ('ignore', [[0, 1], [255, 255]])]
)
def test_folder_dataset__masks_that_are_missing(tmp_path, missing, expected):
    write_masks(tmp_path, {'road': [[0, 1]], 'marking': [[1, 0]]}, 'a')
    write_masks(tmp_path, {'road': [[0, 1]]}, 'b')
    options = {'classes': ['road', 'marking'], 'multi_label': 'folders'}
    with pytest.raises(DataError, match=r'1 of 2 images have no label in .*marking: b\.png'):
        build(tmp_path, **options)
    dataset = build(tmp_path, missing_masks=missing, **options)
    assert dataset[1]['gt_seg_map'].transpose(2, 0, 1).tolist() == [[row] for row in expected]


def test_folder_dataset__no_mask_at_all(tmp_path):
    write_masks(tmp_path, {'road': [[0, 1]]}, 'a')
    write_image(tmp_path, 'b', (1, 2))
    dataset = build(tmp_path, classes=['road'], multi_label='folders', missing_masks='empty')
    assert dataset[1]['gt_seg_map'].tolist() == [[[0], [0]]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'multi_label': 'planes'}, "multi_label of FolderDataset must be 'bits' or 'folders'"),
        ({'missing_masks': 'empty'}, "missing_masks is about labels with multi_label='folders'"),
        ({'multi_label': 'folders', 'missing_masks': 'x'}, 'missing_masks of FolderDataset must be one'),
        ({'reduce_zero_label': True}, 'multi_label and reduce_zero_label are both given'),
        ({'label_map': {0: 0}}, 'multi_label and label_map are both given'),
    ],
)  # fmt: skip
def test_folder_dataset__settings_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(DataError, match=re.escape(message)):
        build(write_bits(tmp_path), **options)


def test_folder_dataset__a_mask_of_another_size(tmp_path):
    write_masks(tmp_path, {'road': [[0, 1]], 'marking': [[0, 1, 1]]})
    (tmp_path / 'images' / 'a.png').unlink()
    write_image(tmp_path, 'a', (1, 2))
    with pytest.raises(DataError, match=r'marking.a\.png is 3 x 1 .* but its image .* is 2 x 1'):
        build(tmp_path, classes=['road', 'marking'], multi_label='folders')[0]


# Transforms


def test_nearest_resize__planes_as_index_labels():
    label = np.random.default_rng(0).integers(0, 256, (23, 31), np.uint8)
    planes = np.stack([label >> k & 1 for k in range(8)], axis=2)
    resize, window = NearestResize(label.shape, (47, 17)), (2, 15, 5, 40)
    index = resize.window(label, window)
    np.testing.assert_array_equal(
        resize.window(planes, window), np.stack([index >> k & 1 for k in range(8)], axis=2)
    )


@pytest.mark.parametrize('classes', [1, 3, 8])
def test_training_pipeline__the_same_pixels_as_index_labels(tmp_path, classes):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 1 << classes, (6, 8)).astype(np.uint8)
    bits = cv2.resize(small, (80, 60), interpolation=cv2.INTER_NEAREST)
    write_bits(tmp_path, bits)
    steps = [
        {'type': 'Resize', 'scale': (90, 70)},
        {
            'type': 'RandomResizeCrop', 'scale': (100, 80), 'ratio_range': (0.5, 1.5),
            'crop_size': (32, 48), 'cat_max_ratio': 0.6,
        },
        {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'PackPlanes'},
    ]  # fmt: skip
    plain = build(
        tmp_path,
        classes=[str(index) for index in range(254)],
        multi_label=None,
        pipeline=[*PIPELINE, *steps],
    )
    names = [str(index) for index in range(classes)]
    several = build(tmp_path, classes=names, pipeline=[*PIPELINE, *steps])
    for seed in range(6):
        np.random.seed(seed)  # noqa: NPY002
        index = plain[0]['data_samples'].gt_sem_seg.data[0]
        np.random.seed(seed)  # noqa: NPY002
        planes = several[0]['data_samples'].gt_sem_seg.data
        assert planes.dtype == torch.uint8
        assert planes.shape == (classes, *index.shape)
        assert torch.equal(planes, torch.stack([index >> k & 1 for k in range(classes)]).byte())


def test_random_resize_crop__balanced_on_planes():
    label = np.zeros((40, 40, 2), np.uint8)
    label[3, 5] = 1
    crop = TRANSFORMS.build(
        dict(type='RandomResizeCrop', scale=(40, 40), ratio_range=(1.0, 1.0), crop_size=8, balanced=1.0)
    )  # fmt: skip
    shown = 0
    for seed in range(20):
        np.random.seed(seed)  # noqa: NPY002
        results = {'img': np.zeros((40, 40, 3), np.uint8), 'gt_seg_map': label}
        results['seg_fields'] = ['gt_seg_map']
        shown += bool(crop.transform(results)['gt_seg_map'].any())
    assert 5 <= shown <= 18


# Check


def test_check__good_labels(tmp_path):
    report = check(build(write_bits(tmp_path)))
    assert report.ok
    figures = report.splits['train'].classes
    assert figures.pixels.tolist() == [3, 3, 2]
    assert not [finding for finding in report.findings if 'label' in finding.sentence]


@pytest.mark.parametrize('classes', [3, 70])
def test_check__page_with_pictures(tmp_path, classes):
    for index in range(classes):
        write_masks(tmp_path, {f'class {index}': np.eye(30, k=index % 5)})
    names = [f'class {index}' for index in range(classes)]
    report = check(build(tmp_path, classes=names, multi_label='folders'))
    page = dataset_page(report)
    assert page.count('<figure>') == 1
    figures = report.splits['train'].classes
    assert figures.shares[:2].tolist() == [30 / 900, 29 / 900]
    assert 'class 2' in page


def test_check__a_mask_that_is_missing(tmp_path):
    write_masks(tmp_path, {'road': [[0, 1]], 'marking': [[1, 0]]}, 'a')
    write_masks(tmp_path, {'road': [[0, 1]]}, 'b')
    options = {'classes': ['road', 'marking'], 'multi_label': 'folders', 'lazy_init': True}
    report = check(build(tmp_path, **options))
    (finding,) = [finding for finding in report.findings if finding.severity == 'error']
    assert re.search(r'no label in .*marking: b\.png', finding.sentence)


def test_check__a_bit_of_no_class(tmp_path):
    report = check(build(write_bits(tmp_path), classes=['road', 'marking']))
    (finding,) = [finding for finding in report.findings if finding.severity == 'error']
    assert 'holds the value 4, in which bit 2 is set' in finding.sentence


def test_check__labels_without_anything(tmp_path):
    report = check(build(write_bits(tmp_path, np.zeros((2, 3), np.uint8))))
    assert [finding.code for finding in report.findings if finding.severity == 'error'] == [
        'all-empty'
    ]


def test_check__classes_that_never_occur(tmp_path):
    report = check(build(write_bits(tmp_path, np.ones((2, 3), np.uint8))))
    assert report.ok
    assert any(
        '2 of 3 classes occur in no label' in finding.sentence for finding in report.findings
    )


def test_config__multi_label_in_a_config(tmp_path):
    write_bits(tmp_path)
    dataset = Config(
        dict(type='FolderDataset', data_root=str(tmp_path), data_prefix=PREFIX, classes=list(NAMES),
             multi_label='bits', pipeline=PIPELINE, _scope_='mmseg')
    )  # fmt: skip
    assert DATASETS.build(dataset._cfg_dict)[0]['gt_seg_map'].shape == (2, 3, 3)
