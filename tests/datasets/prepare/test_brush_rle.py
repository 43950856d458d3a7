"""Label Studio's brush masks, against bytes of its own encoder and a bit by bit one of every kind of runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from swinseg.datasets.prepare import PrepareError
from swinseg.datasets.prepare.brush_rle import decode_brush, encode_brush

# A rectangle without one pixel, and a corner: label_studio_sdk 2.0.0, converter.brush.mask2rle.
MASK = np.zeros((5, 7), bool)
MASK[1:4, 2:6] = MASK[4, 0] = True
MASK[2, 3] = False
BYTES = [
    0, 0, 0, 140, 57, 27, 254, 35, 0, 191, 255, 108, 2, 63, 248, 192, 39, 255, 182, 1, 127, 254, 48, 8, 255,
    240, 184, 0,
]  # fmt: skip

masks = numpy_strategies.arrays(
    bool, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans(), fill=st.nothing()
)


def literal(values, lengths=(3, 4, 8, 16)):
    """Return an encoding in which no value is repeated, with runs of all kinds in turn."""
    bits = f'{len(values):032b}00111' + ''.join(f'{length - 1:04b}' for length in lengths)
    start = kind = 0
    while start < len(values):
        part = values[start : start + 2 ** lengths[kind]]
        bits += f'0{kind:02b}{len(part) - 1:0{lengths[kind]}b}' + ''.join(
            f'{each:08b}' for each in part
        )
        start, kind = start + len(part), (kind + 1) % 4
    bits += '0' * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def test_decode__bytes_of_label_studio():
    np.testing.assert_array_equal(decode_brush(BYTES, (5, 7)), MASK)


def test_encode__is_what_label_studio_writes():
    # Its encoder gives a run of one value otherwise, and none is in this mask of whole pixels.
    assert encode_brush(MASK) == BYTES


@settings(deadline=None, max_examples=60)
@given(masks)
def test_decode__undoes_encode(mask):
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), mask.shape), mask)


def test_decode__runs_of_several_values_count_by_their_opacity():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (20, 30, 4))
    values[rng.random((20, 30)) < 0.5, 3] = 0
    found = decode_brush(literal(values.ravel().tolist()), (20, 30))
    np.testing.assert_array_equal(found, values[..., 3] > 0)


def test_encode__runs_that_are_longer_than_any_length():
    mask = np.ones((300, 200), bool)
    mask[0, 0] = False
    rle = encode_brush(mask)
    assert len(rle) < 30
    np.testing.assert_array_equal(decode_brush(rle, mask.shape), mask)


@pytest.mark.parametrize(
    ('rle', 'message'),
    [
        (BYTES[:-3], 'ends in the middle of a run'),
        ([], 'ends in the middle of a run'),
        (
            [0, 0, 0, 144, *BYTES[4:]],
            r'of 5 x 7 pixels must have 140 values of 8 bits, but has 144 of 8',
        ),
        ([*BYTES[:4], 255, *BYTES[5:]], 'must have 140 values of 8 bits, but has 140 of 32'),
        ([255] * 100, 'but has 4294967295 of 32'),
        ([*BYTES[:7], 255, 255, 255, 255, 255], 'has a run that is longer than its 140 values'),
        ([256], 'must be a list of bytes'),
        (['a'], 'must be a list of bytes'),
        ([10**30], 'must be a list of bytes'),
    ],
)
def test_decode__bytes_that_are_wrong(rle, message):
    with pytest.raises(PrepareError, match=message):
        decode_brush(rle, (5, 7))
