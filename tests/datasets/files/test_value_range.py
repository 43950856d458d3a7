"""Values of more than 8 bits as 0 to 255."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinseg.datasets import DataError
from swinseg.datasets.files.value_range import ValueRange


@pytest.mark.parametrize(
    ('setting', 'expected'),
    [
        ([0, 4095], ((0.0, 4095.0),)),
        ((-1.5, 2), ((-1.5, 2.0),)),
        ([[0, 1], (2, 3), [4, 5]], ((0.0, 1.0), (2.0, 3.0), (4.0, 5.0))),
        ('high_byte', None),
        ('per_image', None),
    ],
)
def test_of(setting, expected):
    found = ValueRange.of(setting)
    assert found.bands == expected
    assert ValueRange.of(found.setting) == found


@pytest.mark.parametrize(
    'setting',
    [[], [1], [4095, 0], [3, 3], [0, float('nan')], [0, float('inf')], [True, 2], ['a', 'b'], 'low_byte',
     [[0, 1], [1]], [[0, 1], 2], 7, None, [[1, 0]], ['ab', 'cd']],
)  # fmt: skip
def test_of__something_else(setting):
    with pytest.raises(DataError, match=r'value_range must be \[low, high\]'):
        ValueRange.of(setting)


@pytest.mark.parametrize('dtype', [np.uint16, np.int16, np.float32, np.float64])
def test_to_8_bits(dtype):
    values = np.array([[0, 99, 100, 101, 355, 611, 612, 4095]], dtype)
    # (v - 100) / 512 * 255: 101 is 0.498, 355 is 127.002, 611 is 254.502
    expected = [[0, 0, 0, 0, 127, 255, 255, 255]]
    np.testing.assert_array_equal(ValueRange.of([100, 612]).to_8_bits(values), expected)


def test_to_8_bits__bytes_stay():
    values = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(ValueRange.of([0, 5]).to_8_bits(values), values)


def test_to_8_bits__bands_in_the_order_of_the_file():
    values = np.full((1, 1, 3), 50, np.int32)
    bands = ValueRange.of([[0, 50], [0, 100], [0, 500]])
    assert bands.to_8_bits(values).tolist() == [[[255, 128, 26]]]
    assert bands.to_8_bits(values, is_bgr=True).tolist() == [[[26, 128, 255]]]
    with pytest.raises(DataError, match=r'scene\.tif has 4 bands, but value_range has 3 pairs'):
        bands.to_8_bits(np.zeros((1, 1, 4), np.int32), name='scene.tif')


def test_to_8_bits__no_number_is_0():
    values = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32)[None]
    assert ValueRange.of([-1, 1]).to_8_bits(values).tolist() == [[0, 0, 0, 191]]


def test_to_8_bits__high_byte_as_opencv():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = ValueRange.of('high_byte').to_8_bits(values)
    np.testing.assert_array_equal(found, values // 256)
    with pytest.raises(
        DataError, match=r"a\.tif holds 32-bit floating-point values, of which value_range='high_"
    ):
        ValueRange.of('high_byte').to_8_bits(values.astype(np.float32), name='a.tif')


@given(st.integers(0, 65534), st.integers(1, 65535))
def test_to_8_bits__a_large_image_as_a_small_one(low, span):
    values = np.arange(2**17, dtype=np.uint32).astype(np.uint16).reshape(256, 512)
    value_range = ValueRange.of([low, low + span])
    found = value_range.to_8_bits(values)
    rows = [value_range.to_8_bits(values[row : row + 1])[0] for row in range(0, 256, 64)]
    np.testing.assert_array_equal(found[::64], rows)
    assert (np.diff(found.ravel()[:65536].astype(int)) >= 0).all()


def test_measured__the_2nd_and_98th_percentile_of_what_counts():
    values = np.arange(101, dtype=np.float32).reshape(1, 101, 1).repeat(2, axis=2)
    values[..., 1] *= 10
    assert ValueRange.measured(values).bands == ((2, 98), (20, 980))
    wide = np.concatenate([values, np.full((1, 7, 2), np.nan), np.full((1, 3, 2), np.inf)], axis=1)
    assert ValueRange.measured(wide).bands == ((2, 98), (20, 980))
    wide[0, 101:] = 1e6
    assert ValueRange.measured(wide, np.arange(111)[None] < 101).bands == ((2, 98), (20, 980))
    assert ValueRange.of('per_image').to_8_bits(values).tolist() == (
        ValueRange.of([[2, 98], [20, 980]]).to_8_bits(values).tolist()
    )


def test_measured__one_value_or_none_is_0():
    for values in (np.full((2, 3), 700, np.uint16), np.full((2, 3), np.nan, np.float32)):
        assert not ValueRange.of('per_image').to_8_bits(values).any()
