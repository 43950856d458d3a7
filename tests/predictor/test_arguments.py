"""The arguments of the tools that load a predictor."""

import argparse

import pytest

from swinseg.predictor.arguments import memory_size, value_range


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('0,4095', [[0, 4095]]),
        ('-1.5,1', [[-1.5, 1]]),
        ('0,3000,1,2800,2,2500', [[0, 3000], [1, 2800], [2, 2500]]),
        ('high_byte', 'high_byte'),
        ('per_image', 'per_image'),
    ],
)
def test_value_range(text, expected):
    assert value_range(text) == expected


@pytest.mark.parametrize('text', ['', '7', '4095,0', '1,2,3', 'nan,2', 'auto'])
def test_value_range__something_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match='two increasing numbers such as 0,4095'):
        value_range(text)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('2G', 2 * 2**30), ('512m', 512 * 2**20), ('1.5 GiB', 3 * 2**29), ('100KB', 102_400), ('7', 7)],
)  # fmt: skip
def test_memory_size__cases(text, expected):
    assert memory_size(text) == expected


@pytest.mark.parametrize('text', ['lots', '0G', '-1G', ''])
def test_memory_size__bad_text(text):
    with pytest.raises(argparse.ArgumentTypeError, match='a size such as 2G or 512M is expected'):
        memory_size(text)
