"""Images of any number of bands in a pipeline: order, range, and labels where there is no data."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from swinseg.datasets import DataError, LoadImage, LoadLabel
from swinseg.datasets.labels.multi_label import MultiLabelRule

H, W = 20, 24
NAMES = ['red', 'green', 'blue', 'nir']
FOUR = np.random.default_rng(0).integers(1, 4000, (H, W, 4)).astype(np.uint16)


def write(path, pixels, **options):
    with rasterio.open(
        path, 'w', driver='GTiff', height=H, width=W, count=pixels.shape[2], dtype=pixels.dtype,
        transform=from_origin(9, 9, 2, 2), **options,
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))
    return {'img_path': str(path)}


def test_load_image__bands(tmp_path):
    ranges = [[0, 1000], [0, 2000], [0, 3000], [0, 4000]]
    info = write(tmp_path / 'a.tif', FOUR)
    results = LoadImage(bands=NAMES, value_range=ranges).transform(info)
    tops = np.array([top for _, top in ranges])
    np.testing.assert_array_equal(results['img'], np.rint(np.clip(FOUR / tops, 0, 1) * 255))
    assert results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == (H, W)
    assert 'valid_pixels' not in results
    again = LoadImage(bands=NAMES, value_range=ranges, to_float32=True).transform(info)['img']
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, results['img'])


def test_load_image__three_bands_are_colors_to_mmseg(tmp_path):
    """So that its preprocessor, with ``bgr_to_rgb``, shows the model the bands in their order."""
    info = write(tmp_path / 'a.tif', FOUR.astype(np.uint8), photometric='minisblack', alpha='no')
    chosen = LoadImage(bands=[4, 1, 2]).transform(info)['img']
    np.testing.assert_array_equal(chosen[..., ::-1], FOUR.astype(np.uint8)[..., [3, 0, 1]])


def test_load_label__ignores_pixels_without_data(tmp_path):
    pixels = FOUR.copy()
    pixels[3:7, 2:9] = 65535
    info = write(tmp_path / 'a.tif', pixels, nodata=65535)
    label = np.random.default_rng(1).integers(0, 5, (H, W), np.uint8)
    Image.fromarray(label).save(tmp_path / 'a.png')
    results = LoadImage(bands=NAMES, value_range=[0, 4000]).transform(info)
    results = LoadLabel().transform({
        **results, 'seg_map_path': str(tmp_path / 'a.png'), 'label_map': None, 'num_classes': 5,
        'reduce_zero_label': False, 'seg_fields': [],
    })  # fmt: skip
    expected = label.copy()
    expected[3:7, 2:9] = 255
    np.testing.assert_array_equal(results['gt_seg_map'], expected)
    assert 'valid_pixels' not in results


def test_load_label__ignores_all_classes_where_there_is_no_data(tmp_path):
    pixels = FOUR.copy()
    pixels[3:7, 2:9] = 65535
    info = write(tmp_path / 'a.tif', pixels, nodata=65535)
    bits = np.random.default_rng(1).integers(0, 4, (H, W), np.uint8)
    Image.fromarray(bits).save(tmp_path / 'a.png')
    results = LoadImage(bands=NAMES, value_range=[0, 4000]).transform(info)
    rule = MultiLabelRule(layout='bits', names=('road', 'shadow'), chosen=(0, 1))
    results = LoadLabel().transform(
        {**results, 'seg_map_path': str(tmp_path / 'a.png'), 'label_map': None, 'multi_label': rule}
    )
    expected = np.stack([bits & 1, bits >> 1], axis=2)
    expected[3:7, 2:9] = 255
    np.testing.assert_array_equal(results['gt_seg_map'], expected)
    assert 'valid_pixels' not in results


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (dict(bands=['a', 'a']), 'bands must be a list'),
        (dict(bands=NAMES, color_type='unchanged'), "color_type='unchanged' .* leave one of them out"),
        (dict(bands=NAMES, reduced_for=dict(scale=(8, 8), ratio_range=(0.5, 2))), 'reduced_for'),
        (dict(bands=NAMES, value_range=[[0, 1], [0, 1]]), '2 pairs of lowest and highest value for 4 bands'),
    ],
)  # fmt: skip
def test_load_image__refuses(arguments, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        LoadImage(**arguments)
    assert '\n' not in str(caught.value)


def test_load_image__without_a_range(tmp_path):
    with pytest.raises(DataError, match=r'a\.tif holds 16-bit values, .* value_range'):
        LoadImage(bands=NAMES).transform(write(tmp_path / 'a.tif', FOUR))
