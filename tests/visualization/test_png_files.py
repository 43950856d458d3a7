"""Label maps as indexed PNG files."""

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from swinseg.files import OutputError
from swinseg.visualization.palette import VisualizationError, default_palette
from swinseg.visualization.png_files import save_indexed_png

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
LABELS = np.array([[0, 1, 1], [2, 255, 0]], np.uint8)


@pytest.mark.parametrize('num_classes', [2, 3, 16, 150, 256])
def test_save_indexed_png__has_8_bits_and_the_palette_inside(tmp_path, num_classes):
    palette = default_palette(num_classes)
    labels = np.random.default_rng(0).integers(0, num_classes, (9, 14), dtype=np.uint8)
    path = tmp_path / 'labels.png'
    save_indexed_png(path, labels, palette)
    assert path.read_bytes()[24:26] == bytes([8, 3])  # bit depth, color type "palette"
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image), labels)
        np.testing.assert_array_equal(np.array(image.convert('RGB')), palette[labels])
    as_mmcv = mmcv.imread(path, flag='unchanged', backend='pillow')
    np.testing.assert_array_equal(as_mmcv, labels)


def test_save_indexed_png__ignored_pixels_keep_255(tmp_path):
    save_indexed_png(tmp_path / 'labels.png', LABELS, PALETTE)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / 'labels.png')), LABELS)


def test_save_indexed_png__of_more_than_256_classes_has_16_bits(tmp_path):
    labels = np.random.default_rng(0).integers(0, 300, (9, 14)).astype(np.uint16)
    save_indexed_png(tmp_path / 'labels.png', labels, default_palette(300))
    found = cv2.imread(str(tmp_path / 'labels.png'), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, labels)


def test_save_indexed_png__values_that_do_not_fit(tmp_path):
    with pytest.raises(VisualizationError, match='stored as 0 to 255, but 0 to 256 were found'):
        save_indexed_png(tmp_path / 'labels.png', np.array([[0, 256]]), PALETTE)
    assert list(tmp_path.iterdir()) == []


def test_save_indexed_png__where_it_cannot(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write'):
        save_indexed_png(tmp_path / 'file' / 'labels.png', LABELS, PALETTE)
