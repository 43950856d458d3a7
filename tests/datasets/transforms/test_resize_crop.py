import warnings

import cv2
import mmcv
import mmcv.transforms
import mmseg.datasets.transforms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import TRANSFORMS

from support.stock_pipeline import assert_same_results
from swinseg.datasets import DataError, RandomResizeCrop
from swinseg.datasets.transforms.resize_crop import (
    NearestResize,
    class_counts,
    draw_pixel_of_any_class,
    draw_scale,
    is_varied,
    resize_window,
    resized_size,
)

PARAMETERS = dict(
    scale=(200, 60), ratio_range=(0.5, 2.0), keep_ratio=True, crop_size=(48, 40), cat_max_ratio=0.75
)


def noise(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def label_of_blocks(height, width, seed):
    """Some crops of it show one class alone, and others many."""
    coarse = np.random.default_rng(seed).choice(np.array([3, 3, 3, 3, 7, 9, 255], np.uint8), (3, 4))
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def stock_pair(*, scale, crop_size, ratio_range=None, keep_ratio=False, **crop_options):
    resize = mmcv.transforms.RandomResize(
        scale=scale, ratio_range=ratio_range, keep_ratio=keep_ratio
    )
    crop = mmseg.datasets.transforms.RandomCrop(crop_size=crop_size, **crop_options)
    return lambda results: crop(resize(results))


def assert_as_stock(parameters, shape, *, seeds, dtype=np.uint8):
    """From the same seed: the same results, and the generator left in the same state."""
    ours, theirs = RandomResizeCrop(**parameters), stock_pair(**parameters)
    for seed in seeds:
        results = {
            'img': noise(*shape, seed=seed, dtype=dtype),
            'gt_seg_map': label_of_blocks(*shape[:2], seed),
            'seg_fields': ['gt_seg_map'],
        }
        np.random.seed(seed)  # noqa: NPY002
        expected = theirs(dict(results))
        state = np.random.random()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        assert_same_results(ours(dict(results)), expected)
        assert np.random.random() == state  # noqa: NPY002


# resize_window


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_resize_windows__are_cut_outs_of_what_opencv_resizes(data):
    draw = data.draw
    height, width = draw(st.integers(2, 90)), draw(st.integers(2, 90))
    factors = st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 1.5, 2.0, 3.0]) | st.floats(0.2, 3.5)
    new_height, new_width = (max(2, round(side * draw(factors))) for side in (height, width))
    top, left = draw(st.integers(0, new_height - 1)), draw(st.integers(0, new_width - 1))
    bottom, right = (
        draw(st.integers(top + 1, new_height)),
        draw(st.integers(left + 1, new_width)),
    )
    channels = draw(st.sampled_from([(), (3,)]))
    image = noise(height, width, *channels, seed=draw(st.integers(0, 99)))
    size_wh, window = (new_width, new_height), (top, bottom, left, right)
    whole = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(
        resize_window(image, size_wh=size_wh, window=window), whole[top:bottom, left:right]
    )
    whole = cv2.resize(image, size_wh, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(
        NearestResize(image.shape, size_wh).window(image, window), whole[top:bottom, left:right]
    )


@pytest.mark.parametrize('keep_ratio', [True, False])
def test_transform__a_side_keeps_one_pixel(keep_ratio):
    image = np.random.default_rng(0).integers(0, 256, (2, 8000, 3), np.uint8)
    scale = (512, 128) if keep_ratio else (512, 1)
    step = RandomResizeCrop(scale, (64, 64), ratio_range=(0.5, 0.5), keep_ratio=keep_ratio)
    label = image[..., 0].copy()
    results = step.transform(
        dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'], img_shape=(2, 8000))
    )
    assert results['img'].shape == (1, 64, 3)
    assert results['gt_seg_map'].shape == results['img_shape'] == (1, 64)


@pytest.mark.parametrize(
    ('shape', 'size_wh', 'end'),
    [((2, 7), (6, 2), (1, 1)), ((8, 9), (9, 9), (2, 8)), ((5, 4), (4, 5), (3, 2))],
)
def test_resize_window__a_piece_whose_size_the_scale_leaves(shape, size_wh, end):
    image = noise(*shape, seed=0)
    whole = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    found = resize_window(image, size_wh=size_wh, window=(0, end[0], 0, end[1]))
    np.testing.assert_array_equal(found, whole[: end[0], : end[1]])


@pytest.mark.parametrize('size_wh', [(1366, 1024), (1023, 767), (683, 512), (342, 256), (400, 900)])
def test_resize_window__at_the_size_of_photographs(size_wh):
    image = cv2.GaussianBlur(noise(512, 683, 3), (0, 0), 1.5)
    width, height = size_wh
    windows = [
        (0, height, 0, width),
        (0, 200, 0, 300),
        (height - 200, height, width - 300, width),
        (17, 217, 30, 330),
    ]
    whole = mmcv.imresize(image, size_wh)
    for top, bottom, left, right in windows:
        part = resize_window(image, size_wh=size_wh, window=(top, bottom, left, right))
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])


def test_resize_window__leaves_out_what_lies_beyond():
    image = noise(100, 100)
    part = resize_window(image, size_wh=(200, 200), window=(0, 50, 0, 50))
    changed = image.copy()
    changed[40:], changed[:, 40:] = 0, 0
    np.testing.assert_array_equal(
        part, resize_window(changed, size_wh=(200, 200), window=(0, 50, 0, 50))
    )
    assert part.base.size < 200 * 200 / 4


# The size, the scale, the classes


@pytest.mark.parametrize('shape', [(512, 683), (683, 512), (256, 256), (100, 900), (33, 7)])
@pytest.mark.parametrize('scale', [(2048, 512), (512, 2048), (301, 300)])
def test_resized_size__as_mmcv(shape, scale):
    height, width = mmcv.imrescale(noise(*shape), scale).shape
    assert resized_size(shape, scale, keep_ratio=True) == (width, height)
    assert resized_size(shape, scale, keep_ratio=False) == scale


@pytest.mark.parametrize(
    ('scale', 'ratio_range'), [((2048, 512), (0.5, 2.0)), ([(60, 30), (90, 10)], None)]
)
def test_draw_scale__as_mmcv(scale, ratio_range):
    stock = mmcv.transforms.RandomResize(scale=scale, ratio_range=ratio_range)
    np.random.seed(3)  # noqa: NPY002
    expected = [stock._random_scale() for _ in range(50)]
    np.random.seed(3)  # noqa: NPY002
    assert [draw_scale(scale, ratio_range) for _ in range(50)] == expected
    assert len(set(expected)) > 20


@pytest.mark.parametrize('large', [False, True])
def test_class_counts__as_numpy(monkeypatch, large):
    if large:
        monkeypatch.setattr('swinseg.datasets.transforms.resize_crop._EXACT_IN_FLOAT32', 10)
    label = noise(50, 70)[3:40, 5:60]
    values, counts = np.unique(label, return_counts=True)
    assert class_counts(label)[values].tolist() == counts.tolist()
    assert class_counts(label).sum() == label.size


@pytest.mark.parametrize(
    ('label', 'expected'),
    [
        ([[1, 1], [1, 2]], False),  # exactly three quarters
        ([[1, 1, 1], [1, 2, 2]], True),
        ([[1, 1, 1], [1, 1, 1]], False),
        ([[1, 1, 1], [255, 255, 255]], False),
        ([[255, 255, 1], [1, 1, 2]], False),
        ([[255, 255, 255], [255, 1, 2]], True),
        ([[255, 255], [255, 255]], False),
    ],
)
def test_is_varied__table(label, expected):
    assert is_varied(np.array(label, np.uint8), cat_max_ratio=0.75) is expected


# The transform


def test_random_resize_crop__registered():
    built = TRANSFORMS.build({'type': 'RandomResizeCrop', **PARAMETERS})
    assert isinstance(built, RandomResizeCrop)
    assert repr(built).startswith('RandomResizeCrop(scale=(200, 60), crop_size=(48, 40), ')


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'cat_max_ratio': 1.0},
        {'cat_max_ratio': 0.4},
        {'crop_size': 64},
        {'keep_ratio': False},
        {'scale': [(90, 50), (60, 150)], 'ratio_range': None},
        {'ignore_index': 3},
        {'crop_size': (500, 30)},
    ],
    ids=str,
)
def test_random_resize_crop__as_stock(changes):
    assert_as_stock({**PARAMETERS, **changes}, (64, 90, 3), seeds=range(25))


def test_random_resize_crop__image_smaller_than_the_crop():
    parameters = {**PARAMETERS, 'scale': (40, 20), 'ratio_range': (1.0, 1.0)}
    assert_as_stock(parameters, (30, 33, 3), seeds=range(3))
    results = RandomResizeCrop(**parameters)(
        {
            'img': noise(30, 33, 3),
            'gt_seg_map': label_of_blocks(30, 33, 0),
            'seg_fields': ['gt_seg_map'],
        }
    )
    assert results['img_shape'] == (20, 22)


@pytest.mark.parametrize(
    ('shape', 'dtype'), [((64, 90), np.uint8), ((64, 90, 3), np.float32), ((300, 7, 3), np.uint8)]
)
def test_random_resize_crop__other_images_as_stock(shape, dtype):
    assert_as_stock(PARAMETERS, shape, seeds=range(10), dtype=dtype)


def test_random_resize_crop__real_photographs_as_stock(real_data):
    options = dict(
        ratio_range=(0.5, 2.0), keep_ratio=True, crop_size=(512, 512), cat_max_ratio=0.75
    )
    ours, theirs = (
        RandomResizeCrop(scale=(2048, 512), **options),
        stock_pair(scale=(2048, 512), **options),
    )
    load = mmseg.datasets.transforms.LoadAnnotations(reduce_zero_label=True)
    for seed, path in enumerate(sorted((real_data / 'ade20k/images/training').glob('*.jpg'))):
        label = real_data / 'ade20k/annotations/training' / f'{path.stem}.png'
        results = {
            'img': cv2.imread(str(path)),
            'seg_map_path': str(label),
            'reduce_zero_label': True,
        }
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            results = load({**results, 'seg_fields': []})
        np.random.seed(seed)  # noqa: NPY002
        expected = theirs(dict(results))
        np.random.seed(seed)  # noqa: NPY002
        assert_same_results(ours(dict(results)), expected)


def test_random_resize_crop__every_segmentation_field():
    other = noise(64, 90, seed=5)
    results = {
        'img': noise(64, 90, 3),
        'gt_seg_map': label_of_blocks(64, 90, 1),
        'gt_edge_map': other,
        'seg_fields': ['gt_seg_map', 'gt_edge_map'],
    }
    crop = RandomResizeCrop(
        scale=(90, 64), ratio_range=(1.0, 1.0), keep_ratio=True, crop_size=(64, 30)
    )
    np.random.seed(0)  # noqa: NPY002
    cropped = crop(results)['gt_edge_map']
    assert any(np.array_equal(cropped, other[:, x : x + 30]) for x in range(61))


def test_random_resize_crop__image_without_label():
    results = {'img': noise(64, 90, 3), 'img_path': 'a.jpg'}
    with pytest.raises(
        DataError, match=r'cat_max_ratio=0\.75 looks at the label, but a\.jpg has none'
    ):
        RandomResizeCrop(**PARAMETERS)(dict(results))
    cropped = RandomResizeCrop(**{**PARAMETERS, 'cat_max_ratio': 1.0})(dict(results))
    assert cropped['img'].shape[2] == 3


def test_random_resize_crop__lists_from_the_command_line():
    built = RandomResizeCrop([200, 60], [48, 40], ratio_range=[0.5, 2.0])
    assert built.scale == (200, 60)
    assert built.crop_size == (48, 40)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'crop_size': (48,)}, r'crop_size .* must be \(height, width\).* not \(48,\)'),
        ({'crop_size': 0}, 'crop_size .* not 0'),
        ({'crop_size': '48'}, "crop_size .* not '48'"),
        ({'scale': 512}, r'scale .* must be \(long side, short side\).* not 512'),
        ({'scale': (0, 5)}, r'scale .* not \(0, 5\)'),
        ({'ratio_range': None}, 'ratio_range .* smallest and the largest ratio.* not None'),
        ({'ratio_range': (2.0, 0.5)}, r'ratio_range .* not \(2\.0, 0\.5\)'),
        ({'ratio_range': (0.0, 0.5)}, r'ratio_range .* not \(0\.0, 0\.5\)'),
    ],
)
def test_random_resize_crop__bad_parameters(changes, expected):
    with pytest.raises(DataError, match=expected):
        RandomResizeCrop(**{**PARAMETERS, **changes})


def test_draw_pixel_of_any_class__each_class_as_often():
    label = np.zeros((40, 50), np.uint8)
    label[:, 30:] = 255
    label[7, 9] = 4  # one pixel in a thousand
    np.random.seed(0)  # noqa: NPY002
    drawn = [draw_pixel_of_any_class(label) for _ in range(400)]
    assert 160 < sum(pixel == (7, 9) for pixel in drawn) < 240
    assert all(label[pixel] in (0, 4) for pixel in drawn)
    assert draw_pixel_of_any_class(np.full((3, 4), 255, np.uint8)) is None


@pytest.mark.parametrize(
    ('balanced', 'fewest', 'most'), [(0.0, 0, 30), (0.5, 30, 100), (1.0, 85, 140)]
)
def test_random_resize_crop__balanced_crops_show_the_rare_class(balanced, fewest, most):
    label = np.zeros((120, 300), np.uint8)
    label[100:108, 280:288] = 4
    transform = RandomResizeCrop(
        scale=(300, 120),
        ratio_range=(1.0, 2.0),
        keep_ratio=True,
        crop_size=(40, 40),
        balanced=balanced,
    )
    np.random.seed(1)  # noqa: NPY002
    shown = 0
    for _ in range(200):
        results = transform(
            {'img': noise(120, 300, 3), 'gt_seg_map': label.copy(), 'seg_fields': ['gt_seg_map']}
        )
        assert results['img'].shape == (40, 40, 3)
        assert results['gt_seg_map'].shape == (40, 40)
        shown += 4 in results['gt_seg_map']
    assert fewest <= shown <= most


def test_random_resize_crop__balanced_in_images_smaller_than_the_crop_and_without_a_class():
    transform = RandomResizeCrop(
        scale=(30, 20), ratio_range=(1.0, 1.0), keep_ratio=True, crop_size=(48, 16), balanced=1.0
    )
    for value in (2, 255):
        label = np.full((20, 30), value, np.uint8)
        results = transform(
            {'img': noise(20, 30, 3), 'gt_seg_map': label, 'seg_fields': ['gt_seg_map']}
        )
        assert results['img'].shape == (20, 16, 3)


def test_random_resize_crop__share_of_balanced_crops():
    with pytest.raises(DataError, match=r'balanced .* is a share of the crops, 0 to 1, not 2'):
        RandomResizeCrop(**PARAMETERS, balanced=2)
    with pytest.raises(DataError, match=r'balanced=0\.5 looks at the label, but a\.jpg has none'):
        RandomResizeCrop(**PARAMETERS, balanced=0.5)({'img': noise(60, 60, 3), 'img_path': 'a.jpg'})
