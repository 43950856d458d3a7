"""Files that are no images are called what they are."""

import cv2
import numpy as np
import pytest

from swinseg.datasets.files.foreign import HEAD_BYTES, foreign_kind, is_video
from swinseg.datasets.files.images import read_bytes
from swinseg.errors import DataError

PACKET = b'G' + bytes(187)


@pytest.mark.parametrize(
    ('head', 'expected'),
    [
        (bytes(128) + b'DICM', 'a DICOM file'),
        (b'\0\0\0\x1cftypavif', None),
        (b'\0\0\0\x18ftypheic', None),
        (b'\0\0\0\x18ftypisom', 'a video'),
        (b'RIFF\0\0\0\0AVI LIST', 'a video'),
        (PACKET * 3, 'a video'),
        ((bytes(4) + PACKET) * 3, 'a video'),
        (b'YUV4MPEG2 W64 H48', 'a video'),
        (b'PK\x03\x04', 'a ZIP archive'),
        (b'\x93NUMPY\x01', 'an array of NumPy'),
        (b'G' * 100, None),
        (PACKET * 2, None),
        (b'', None),
        (b'RIFF\0\0\0\0WAVE', None),
    ],
)
def test_foreign_kind(head, expected):
    assert foreign_kind(head) == expected
    assert is_video(head) == (expected == 'a video')


@pytest.mark.parametrize(
    ('suffix', 'codec'), [('.avi', 'MJPG'), ('.mp4', 'mp4v'), ('.mkv', 'MJPG')]
)
def test_is_video__written_by_opencv(tmp_path, suffix, codec):
    path = tmp_path / f'a{suffix}'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 5, (32, 16))
    writer.write(np.zeros((16, 32, 3), np.uint8))
    writer.release()
    assert is_video(path.read_bytes()[:HEAD_BYTES])


def test_read_bytes__names_what_it_is(tmp_path):
    for content, kind in ((bytes(128) + b'DICM', 'a DICOM file'), (b'RIFF1234AVI LIST', 'a video')):
        (tmp_path / 'a.jpg').write_bytes(content)
        with pytest.raises(DataError, match=f'a.jpg is not an image: it is {kind} '):
            read_bytes(tmp_path / 'a.jpg')
