"""Fixtures for the dataset tests: small files of every kind, and the folder of real ones if there is one."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope='session')
def real_data() -> Path:
    folder = os.environ.get('SWINSEG_TEST_DATA')
    if not folder:
        pytest.skip('SWINSEG_TEST_DATA names no folder of real images')
    return Path(folder)


@pytest.fixture
def photo() -> np.ndarray:
    """(40, 56, 3) uint8 with structure at several scales, so that a JPEG of it has some size."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (5, 7, 3)).astype(np.uint8), (56, 40))
    return cv2.add(coarse, rng.integers(0, 30, coarse.shape).astype(np.uint8))


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set: names of images, and one label array (or None for no file) for each."""

    def make(
        labels: dict[str, np.ndarray | None],
        *,
        image_suffix: str = '.jpg',
        label_suffix: str = '.png',
        images: str = 'images',
        annotations: str = 'annotations',
    ) -> Path:
        rng = np.random.default_rng(0)
        for name, label in labels.items():
            shape = (8, 10) if label is None else label.shape
            image = tmp_path / images / f'{name}{image_suffix}'
            image.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(image), rng.integers(0, 256, (*shape, 3)).astype(np.uint8))
            target = tmp_path / annotations / f'{name}{label_suffix}'
            target.parent.mkdir(parents=True, exist_ok=True)
            if label is not None:
                assert cv2.imwrite(str(target), label)
        return tmp_path

    return make
