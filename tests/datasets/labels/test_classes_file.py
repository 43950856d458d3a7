"""The YAML file of classes: what is read of it, and what is refused."""

from __future__ import annotations

import pytest

from swinseg.datasets import DataError
from swinseg.datasets.labels.classes_file import read_classes_file


def test_read_classes_file__names_only(tmp_path):
    path = tmp_path / 'classes.yaml'
    path.write_text('classes: [road, sky]')
    content = read_classes_file(path)
    assert content.names == ('road', 'sky')
    assert content.palette is content.label_map is content.ignore_values is None


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (None, 'cannot be read: No such file'),
        ('classes: [a', 'is not valid YAML in line 1'),
        ('- a\n- b', "must have a list named 'classes'"),
        ('classes: {a: 1}', "must have a list named 'classes'"),
        ('clases: [a]\nclasses: [a]', "unknown key 'clases', did you mean 'classes'"),
        ('classes: [{name: a, colr: 1}]', "class 1 of .* unknown key 'colr', did you mean 'colo"),
        (
            'classes: [a, 12]',
            'class 2 of .* must be a name or have one, found {.name.: 12}|found 12',
        ),
        ('classes: [{name: yes}]', 'class 1 of .* quote names'),
        ('classes: [{name: a, color: [1, 2]}]', r'has the color \[1, 2\], expected'),
        ('classes: [{name: a, color: "#12345g"}]', "has the color '#12345g', expected"),
        ('classes: [{name: a, color: "#000000"}, b]', 'the class b in .* has no color'),
        ('classes: [{name: a, values: 1}, b]', '1 of 2 classes in .* have values'),
        (
            'classes: [{name: a, values: 1}, {name: b, values: [1]}]',
            'class 2 .* value 1, which a has already',
        ),
        ('classes: [{name: a, values: [-1]}]', 'raw label value -1, expected whole numbers'),
        ('classes: [a]\nignore_values: [x]', "raw label value 'x', expected whole numbers"),
    ],
)
def test_read_classes_file__bad(tmp_path, text, expected):
    path = tmp_path / 'classes.yaml'
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=expected) as caught:
        read_classes_file(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
