"""The check of images of four bands: figures of what has data, lines for the config, images without data."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image

from swinseg.datasets import FolderDataset, LoadImage, LoadLabel, PackPlanes
from swinseg.datasets.check import check_splits, format_report, list_split
from swinseg.report.dataset_page import dataset_page

NAMES = ['red', 'green', 'blue', 'nir']
TOPS = np.array([1000, 2000, 3000, 4000])
H, W = 40, 50


def make(root, pixels, *, loader, nodata=0):
    """Return the training split of images of (H, W, 4), each with a label of two classes."""
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
    for number, image in enumerate(pixels):
        with rasterio.open(
            root / 'images' / f'{number}.tif', 'w', driver='GTiff', height=H, width=W, count=4,
            dtype=image.dtype, nodata=nodata,
        ) as file:  # fmt: skip
            file.write(image.transpose(2, 0, 1))
        label = np.zeros((H, W), np.uint8)
        label[:, 20 + number :] = 1
        Image.fromarray(label).save(root / 'labels' / f'{number}.png')
    dataset = FolderDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        classes=['a', 'b'],
        pipeline=[LoadImage(**loader), LoadLabel(), PackPlanes()],
    )
    return list_split('train', dataset)


def drawn(count=3):
    rng = np.random.default_rng(0)
    images = [(rng.random((H, W, 4)) * TOPS).astype(np.uint16) + 1 for _ in range(count)]
    for image in images:
        image[:, :10] = 0
    return images


def test_check__lines_for_the_config(tmp_path):
    images = drawn()
    loader = dict(bands=NAMES)
    report = check_splits([make(tmp_path / 'a', images, loader=loader)], workers=1)
    (finding,) = (each for each in report.findings if each.severity == 'error')
    assert finding.code == 'value-range'
    lines = report.splits['train'].config_lines
    assert '\n    '.join(lines) in format_report(report)
    assert report.splits['train'].to_dict()['config_lines'] == list(lines)
    found = {}
    exec('\n'.join(lines), found)
    assert found['bands'] == NAMES
    # Without the zeros of what is no data the lowest values lie above, and the middle ones in the middle.
    low, high = np.array(found['value_range']).T
    np.testing.assert_allclose(low, 0.002 * TOPS, atol=6)
    np.testing.assert_allclose(high, TOPS, rtol=0.01)
    preprocessor = found['model']['data_preprocessor']
    np.testing.assert_allclose(preprocessor['mean'], [127.5] * 4, atol=4)
    np.testing.assert_allclose(preprocessor['std'], [255 / 12**0.5] * 4, atol=2)
    assert found['model']['backbone'] == {'in_channels': 4}

    # With the lines in the config there is nothing more to say, and the exact figures are those of the sample.
    loader = dict(bands=NAMES, value_range=found['value_range'])
    again = check_splits([make(tmp_path / 'b', images, loader=loader)], workers=1)
    assert again.ok
    pixels = np.concatenate([image[:, 10:].reshape(-1, 4) for image in images])
    shown = np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255)
    np.testing.assert_allclose(again.splits['train'].images.mean, shown.mean(axis=0))
    np.testing.assert_allclose(again.splits['train'].images.std, shown.std(axis=0))
    assert again.splits['train'].classes.ignored == 3 * H * 10
    page = dataset_page(again)
    assert page.count('<figure>') == 3


def test_check__images_of_8_bit_colors_need_no_lines(tiny_dataset):
    dataset = FolderDataset(
        data_root=str(tiny_dataset),
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        classes=[str(number) for number in range(151)],
        pipeline=[LoadImage(), LoadLabel(), PackPlanes()],
    )
    assert check_splits([list_split('train', dataset)]).splits['train'].config_lines == ()


@pytest.mark.parametrize(('empty', 'severity'), [(1, 'warning'), (3, 'error')])
def test_check__images_without_data(empty, severity, tmp_path):
    images = drawn()
    for image in images[:empty]:
        image[:] = 0
    loader = dict(bands=NAMES, value_range=[0, 4000])
    report = check_splits([make(tmp_path, images, loader=loader)], workers=1)
    (finding,) = (each for each in report.findings if each.code == 'no-data')
    assert finding.severity == severity
    assert len(finding.files) == empty
    assert f'{empty} of 3 images have no data in any pixel (0.tif' in finding.sentence


def test_check__other_bands_in_validation(tmp_path):
    splits = [
        make(tmp_path / name, drawn(), loader=dict(bands=bands, value_range=[0, 4000]))
        for name, bands in (('a', NAMES), ('b', NAMES[::-1]))
    ]
    report = check_splits([splits[0], replace(splits[1], name='val')], workers=1)
    assert 'bands-differ' in [each.code for each in report.findings if each.severity == 'error']
