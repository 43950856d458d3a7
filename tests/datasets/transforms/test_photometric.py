import cv2
import numpy as np
import pytest
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS

from swinseg.datasets import TablePhotoMetricDistortion
from swinseg.errors import ConfigError, DataError


def every_kind_of_color():
    """(64, 512, 3) uint8 in which each channel takes every value, in the dark, the gray and the bright."""
    steps = np.arange(0, 256, 8, dtype=np.uint8)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing='ij')
    image = np.stack([blue, green, red], axis=-1).reshape(64, 512, 3)
    return image + np.random.default_rng(0).integers(0, 8, image.shape, dtype=np.uint8)


def assert_as_stock(image, *, seeds, **parameters):
    ours, theirs = TablePhotoMetricDistortion(**parameters), PhotoMetricDistortion(**parameters)
    before = image.copy()
    changed = 0
    for seed in seeds:
        np.random.seed(seed)  # noqa: NPY002
        expected = theirs({'img': image})['img']
        state = np.random.random()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        distorted = ours({'img': image})['img']
        assert np.random.random() == state  # noqa: NPY002
        assert distorted.dtype == expected.dtype
        np.testing.assert_array_equal(distorted, expected)
        np.testing.assert_array_equal(image, before)
        changed += not np.array_equal(distorted, image)
    return changed


def test_registered():
    built = TRANSFORMS.build({'type': 'TablePhotoMetricDistortion', 'hue_delta': 3})
    assert isinstance(built, TablePhotoMetricDistortion)
    assert built.hue_delta == 3


def test_same_draws_give_the_pixels_of_stock():
    # 2 ** 5 ways to draw what is done; 200 seeds see every one of them.
    assert assert_as_stock(every_kind_of_color(), seeds=range(200)) > 150


@pytest.mark.parametrize(
    'parameters',
    [
        {'brightness_delta': 255, 'contrast_range': (0.0, 4.0)},
        {'saturation_range': (0.0, 3.0), 'hue_delta': 90},
    ],
)
def test_other_parameters(parameters):
    assert_as_stock(every_kind_of_color(), seeds=range(40), **parameters)


@pytest.mark.parametrize('axes', [0, 1, (0, 1)])
def test_flipped_view_of_a_crop(axes):
    view = np.flip(every_kind_of_color()[5:50, 7:300], axis=axes)
    assert_as_stock(view, seeds=range(20))


def test_real_photograph(real_data):
    path = sorted((real_data / 'ade20k/images/training').glob('*.jpg'))[0]
    assert_as_stock(cv2.imread(str(path)), seeds=range(12))


def test_float_image_is_left_to_mmseg():
    assert_as_stock(every_kind_of_color().astype(np.float32) / 255, seeds=range(12))


@pytest.mark.parametrize('bands', [None, 1, 4, 13])
def test_any_number_of_bands__brightness_and_contrast(bands):
    """All bands become what each alone becomes by the same draws."""
    ours = TablePhotoMetricDistortion(saturation_range=None, hue_delta=None)
    shape = (20, 24) if bands is None else (20, 24, bands)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    alone = np.ascontiguousarray(image if bands is None else image[..., -1])
    changed = 0
    for seed in range(30):
        np.random.seed(seed)  # noqa: NPY002
        found = ours({'img': image})['img']
        np.random.seed(seed)  # noqa: NPY002
        expected = ours({'img': alone})['img']
        assert found.shape == shape
        np.testing.assert_array_equal(found if bands is None else found[..., -1], expected)
        changed += not np.array_equal(found, image)
    assert 15 < changed < 30


def test_any_number_of_bands__without_one_of_saturation_and_hue():
    with pytest.raises(ConfigError, match='set both to None, or neither'):
        TablePhotoMetricDistortion(hue_delta=None)


def test_any_number_of_bands__floats():
    ours = TablePhotoMetricDistortion(saturation_range=None, hue_delta=None)
    with pytest.raises(DataError, match=r'is for images of 8 bits, but a\.tif is float32'):
        ours({'img': np.zeros((4, 4, 4), np.float32), 'img_path': 'a.tif'})
