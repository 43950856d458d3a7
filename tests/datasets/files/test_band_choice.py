"""Which bands of a file were chosen, by number and by name."""

import pytest

from swinseg.datasets.files.band_choice import checked_choice, chosen_numbers, files_of_bands
from swinseg.errors import DataError, DecodingError

FOUR = ('red', 'green', 'blue', 'nir')


@pytest.mark.parametrize('setting', [[4, 3, 2], [1, 1], ['red'], list(FOUR)])
def test_checked_choice(setting):
    assert checked_choice(setting) == tuple(setting)


@pytest.mark.parametrize(
    'setting',
    [
        [],
        'red',
        [0],
        [True, 2],
        ['red', 2],
        ['red', 'Red'],
        [' red'],
        ['a\nb'],
        ['NIR (842 nm)'],
        ['x' * 61],
        4,
        [1.0],
    ],
)
def test_checked_choice__refuses(setting):
    with pytest.raises(DataError, match='bands must be a list'):
        checked_choice(setting)


@pytest.mark.parametrize(
    ('chosen', 'count', 'more', 'expected'),
    [
        ((4, 1, 1), 4, {}, (4, 1, 1)),
        (FOUR, 4, {}, (1, 2, 3, 4)),
        (
            FOUR,
            4,
            {'alpha': (4,)},
            (1, 2, 3, 4),
        ),  # what GDAL calls transparency may well be the fourth band
        (FOUR, 5, {'alpha': (5,)}, (1, 2, 3, 4)),
        (FOUR, 4, {'names': ('Blue', 'Green', 'Red', 'NIR')}, (3, 2, 1, 4)),
        (('nir', 'red'), 5, {'names': (None, 'red', 'green', 'blue', 'nir ')}, (5, 2)),
        ((2,), 4, {'names': ('Blue', 'Green', 'Red', 'NIR')}, (2,)),
    ],
)
def test_chosen_numbers(chosen, count, more, expected):
    assert chosen_numbers(chosen, count, **more) == expected


@pytest.mark.parametrize(
    ('chosen', 'count', 'names', 'sentence'),
    [
        ((5,), 4, (), r'has the bands 1 to 4, but \(5,\) were asked for'),
        (FOUR, 3, (None, None, None), 'has 3 bands without names, but the model is shown 4: red, green, blue'),
        (FOUR, 1, (), 'has 1 band without names'),
        (FOUR, 4, ('red', 'green', 'blue', 'swir'), 'has no band named nir, .* names its bands red, green'),
        (('red',), 3, ('red', 'Red', ''), 'has 2 bands named red'),
    ],
)  # fmt: skip
def test_chosen_numbers__refuses(chosen, count, names, sentence):
    with pytest.raises(DecodingError, match=sentence):
        chosen_numbers(chosen, count, names=names)


@pytest.mark.parametrize(
    ('path', 'chosen', 'expected'),
    [
        ('a/B02.tif', ('B02', 'B8A'), ('a/B02.tif', 'a/B8A.tif')),
        ('a/b02.tif', ('B02', 'B8A'), ('a/b02.tif', 'a/b8a.tif')),
        ('B08/T32_B08_10m.jp2', ('B02', 'B08'), ('B08/T32_B02_10m.jp2', 'B08/T32_B08_10m.jp2')),
        ('red_and_nir.tif', ('red', 'nir'), None),
        ('infrared.tif', ('red', 'nir'), None),
        ('a.tif', ('red', 'nir'), None),
        ('red.tif', ('red',), None),
        ('1.tif', (1, 2), None),
    ],
)
def test_files_of_bands(path, chosen, expected):
    assert files_of_bands(path, chosen) == expected
