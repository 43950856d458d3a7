"""Images as the bytes of files: by OpenCV, by Pillow, and JPEG files of each kind."""

from __future__ import annotations

import io
import struct

import cv2
from PIL import Image


def encoded(suffix, array, *options):
    """Encode pixels (BGR) with OpenCV, in the format of a suffix."""
    success, data = cv2.imencode(suffix, array, list(options))
    assert success
    return data.tobytes()


def saved(image, kind, **options):
    """Encode an image with Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpegs(photo):
    """Return a photo (BGR) as a JPEG of each of ``JPEG_KINDS``."""
    rgb = Image.fromarray(photo[..., ::-1])
    thumbnail = saved(rgb.resize((14, 10)), 'JPEG')
    # An EXIF segment that carries a complete JPEG of its own, end-of-image marker included.
    exif = b'Exif\x00\x00' + thumbnail
    plain = saved(rgb, 'JPEG')
    return {
        'plain': plain,
        'progressive': saved(rgb, 'JPEG', progressive=True),
        'gray': saved(rgb.convert('L'), 'JPEG'),
        'restart': encoded('.jpg', photo, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        'thumbnail': plain[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + plain[2:],
        'fill bytes': plain[:2] + b'\xff\xff' + plain[2:],
    }


JPEG_KINDS = ('plain', 'progressive', 'gray', 'restart', 'thumbnail', 'fill bytes')
