"""HEIC files, where pillow-heif is installed."""

from __future__ import annotations

import io

import numpy as np
import pytest


def heic(rgb):
    """Encode pixels, (H, W, 3) uint8, as HEIC; skips the test without pillow-heif."""
    pillow_heif = pytest.importorskip('pillow_heif')
    file = io.BytesIO()
    pillow_heif.from_bytes('RGB', rgb.shape[1::-1], np.ascontiguousarray(rgb).tobytes()).save(
        file, quality=95
    )
    return file.getvalue()


def heic_pixels(data):
    """Return what pillow-heif itself makes of a file, RGB."""
    pillow_heif = pytest.importorskip('pillow_heif')
    return np.asarray(pillow_heif.open_heif(io.BytesIO(data)))
