"""Which files are videos."""

import pytest

from swinseg.segment.videos.files import is_video


@pytest.mark.parametrize(
    ('path', 'expected'), [('a.mp4', True), ('b/C.MOV', True), ('c.png', False), ('mp4', False)]
)
def test_is_video(path, expected):
    assert is_video(path) is expected
