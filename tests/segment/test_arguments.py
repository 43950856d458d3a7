"""What a user may write for a size, and for annotation tools."""

import argparse

import pytest

from swinseg.segment.arguments import (
    add_options,
    band_numbers,
    options_of,
    window_size,
)


@pytest.mark.parametrize(('text', 'expected'), [('512', 512), ('512x768', (512, 768))])
def test_window_size__cases(text, expected):
    assert window_size(text) == expected


def test_band_numbers__keep_their_order():
    assert band_numbers('4,3,2') == (4, 3, 2)


@pytest.mark.parametrize(
    ('read', 'text'),
    [
        (window_size, '0'), (window_size, '-5'), (window_size, '5x0'), (window_size, '5.5'),
        (band_numbers, '1,,2'), (band_numbers, 'red'),
    ],
)  # fmt: skip
def test_bad_text__is_shown_with_an_example(read, text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'such as .* expected'):
        read(text)


def test_annotations__several_tools():
    parser = argparse.ArgumentParser()
    add_options(parser)
    given = ['--annotations', 'cvat', '--annotations', 'yolo', '--image-address', 's3://bucket/']
    model = argparse.Namespace(
        checkpoint='x.pth', config=None, dtype='float32', provider=None, trust=False
    )
    options = options_of(parser.parse_args(given, model))
    assert options.annotations == ['cvat', 'yolo']
    assert options.image_address == 's3://bucket/'
    with pytest.raises(SystemExit):
        parser.parse_args(['--annotations', 'excel'])
