"""Frames of an MP4 are as its display matrix says, which players follow."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.segment.videos.libraries import open_video
from swinseg.segment.videos.matrix import Mirroring, mirroring_of

HEIGHT, WIDTH = 48, 64
COLORS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
# a, b, c, d of the matrix, which maps (x, y) to (a x + c y, b x + d y); x to the right, y down.
MATRICES = {
    'as stored': (1, 0, 0, 1),
    'by 90 degrees': (0, 1, -1, 0),
    'by 180 degrees': (-1, 0, 0, -1),
    'by 270 degrees': (0, -1, 1, 0),
    'mirrored': (-1, 0, 0, 1),
    'upside down': (1, 0, 0, -1),
    'transposed': (0, 1, 1, 0),
    'transposed across': (0, -1, -1, 0),
}
NONE = MATRICES['as stored']


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """The bytes of a film of four colors that has no matrix."""
    path = tmp_path_factory.mktemp('film') / 'a.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (WIDTH, HEIGHT))
    cells = (HEIGHT // 2, WIDTH // 2, 1)
    for _ in range(2):
        writer.write(np.kron(COLORS, np.ones(cells, np.uint8))[..., ::-1])
    writer.release()
    return path.read_bytes()


def with_matrix(data, header, before, matrix):
    a, b, c, d = (number << 16 for number in matrix)
    place = data.index(header) + 4 + before
    changed = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:place] + changed + data[place + 36 :]


def film(data, path, matrix, of_movie=NONE):
    data = with_matrix(data, b'tkhd', 40, matrix)
    path.write_bytes(with_matrix(data, b'mvhd', 36, of_movie))
    return path


def shown(matrix):
    """Return the four colors where the matrix puts them."""
    a, b, c, d = matrix
    result = np.zeros_like(COLORS)
    for y, x in np.ndindex(2, 2):
        center = np.array([2 * x - 1, 2 * y - 1])
        right, down = (np.array([[a, c], [b, d]]) @ center + 1) // 2
        result[down, right] = COLORS[y, x]
    return result


def product(first, second):
    a, b, c, d = first
    e, f, g, h = second
    return (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)


@pytest.mark.usefixtures('library')
@pytest.mark.filterwarnings('ignore:videos go through OpenCV')
@pytest.mark.parametrize('of_movie', ['as stored', 'by 90 degrees', 'mirrored'])
@pytest.mark.parametrize('of_track', MATRICES)
def test_frames__are_where_the_matrix_puts_them(plain, tmp_path, of_track, of_movie):
    track, movie = MATRICES[of_track], MATRICES[of_movie]
    with open_video(film(plain, tmp_path / 'b.mp4', track, movie)) as reader:
        frame = reader.read()
    expected = shown(product(track, movie))
    height, width = frame.shape[:2]
    assert (height < width) == (product(track, movie)[0] != 0)
    middles = frame[height // 4 :: height // 2, width // 4 :: width // 2][:2, :2]
    assert np.abs(middles.astype(int) - expected).max() < 80


@given(place=st.integers(0, 4000), value=st.integers(0, 255), end=st.integers(0, 4000))
@settings(max_examples=150, deadline=None)
def test_mirroring__of_any_damage_is_something(plain, tmp_path_factory, place, value, end):
    path = tmp_path_factory.getbasetemp() / 'damaged.mp4'
    damaged = bytearray(plain[:end] if end % 2 else plain)
    if place < len(damaged):
        damaged[place] = value
    path.write_bytes(damaged)
    assert mirroring_of(path) in Mirroring


@pytest.mark.parametrize('content', [b'', b'text', b'RIFF\0\0\0\0AVI '])
def test_mirroring__of_other_files(tmp_path, content):
    (tmp_path / 'a').write_bytes(content)
    assert mirroring_of(tmp_path / 'a') is Mirroring.NONE
    assert mirroring_of(tmp_path / 'missing') is Mirroring.NONE
