"""Files, labels and lists of datasets, as ``tools/check_dataset.py`` finds them before a training does.

What one broken file does to all the tools is in ``support.bad_data``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from broken_inputs.place import CommandLine, Place, png_header

HALVES = np.repeat(np.array([0, 1], np.uint8), 24)[:, None].repeat(64, axis=1)

FOLDER = """
train_dataloader = dict(dataset=dict(
    _delete_=True, type='FolderDataset', data_root={root!r},
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    pipeline={{{{_base_.train_pipeline}}}}, {settings}
))
model = dict(decode_head=dict(num_classes=2), auxiliary_head=dict(num_classes=2))
val_dataloader = val_cfg = val_evaluator = None
"""
TWO = "classes=['ground', 'thing']"


def _check(place: Place, root: object, settings: str) -> CommandLine:
    config = place.write_config(extra=FOLDER.format(root=str(root), settings=settings))
    return ['check_dataset', config, '--workers', 1]


def _label(pixels: np.ndarray, settings: str = TWO) -> Callable[[Place], CommandLine]:
    return lambda place: _check(place, place.pairs({'0': pixels}), settings)


def _settings(settings: str) -> Callable[[Place], CommandLine]:
    return _label(HALVES, settings)


def _file(name: str, content: bytes | str, settings: str = TWO) -> Callable[[Place], CommandLine]:
    """Write one file over, or beside, those of a good folder."""

    def make(place: Place) -> CommandLine:
        root = place.pairs({'0': HALVES, '1': HALVES})
        place.file(f'pairs/{name}', content)
        return _check(place, root, settings)

    return make


def _dangling_link(place: Place) -> CommandLine:
    root = place.pairs({'0': HALVES, '1': HALVES})
    (root / 'images' / '1.jpg').unlink()
    (root / 'images' / '1.jpg').symlink_to(place.folder / 'moved.jpg')
    return _check(place, root, TWO)


def _damaged_png_label(place: Place) -> CommandLine:
    root = place.pairs({'0': HALVES, '1': HALVES})
    path = root / 'labels' / '1.png'
    content = bytearray(path.read_bytes())
    start = content.index(b'IDAT') + 8
    content[start : start + 8] = bytes(8)
    path.write_bytes(content)
    return _check(place, root, TWO)


def _jpeg_labels(place: Place) -> CommandLine:
    root = place.pairs({'0': HALVES})
    Image.fromarray(HALVES).save(root / 'labels' / '0.jpg')
    return _check(place, root, f"{TWO}, seg_map_suffix='.jpg'")


def _fractional_labels(place: Place) -> CommandLine:
    root = place.pairs({'0': HALVES})
    Image.fromarray(HALVES.astype(np.float32)).save(root / 'labels' / '0.tif')
    return _check(place, root, f"{TWO}, seg_map_suffix='.tif'")


COLORS = np.where(HALVES[..., None] == 1, (200, 0, 0), (0, 0, 0)).astype(np.uint8)
LISTED = "classes_file='classes.yaml'"

YAML_BOMB = 'a: &a [b]\n' + ''.join(
    f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]\n'
    for before, name in zip('abcdefghi', 'bcdefghij', strict=True)
)

KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'image: a small file that claims 60,000 x 60,000 pixels': (
        _file('images/1.jpg', png_header(60_000, 60_000)), r'1\.jpg cannot be decoded as PNG',
    ),
    'image: a link to a file that was moved': (_dangling_link, r'1\.jpg does not exist'),
    'image: a web page': (_file('images/1.jpg', '<!DOCTYPE html>404'), r'1\.jpg is not an image: it is a text'),
    'label: damaged pixels': (_damaged_png_label, r'label .*1\.png cannot be decoded'),
    'label: JPEG': (_jpeg_labels, r'0\.jpg .*lossless'),
    'label: fractions': (_fractional_labels, r'0\.tif holds values of type float32'),
    'label: values 0 and 255': (_label(HALVES * 255), r'label_map=\{0: 0, 255: 1\}'),
    'label: values from 1': (_label(HALVES + 1), r'reduce_zero_label=True'),
    'label: values from 0 with reduce_zero_label': (
        _label(HALVES, f'{TWO}, reduce_zero_label=True'), r'only the class'),
    'label: all ignored': (_label(np.full_like(HALVES, 255)), r'all pixels of the 1 labels are ignored'),
    'label: 16-bit instances': (
        _label(HALVES.astype(np.uint16) * 1001 + 1000), r'instance_divisor=1000'),
    'label: RGB colors': (_label(COLORS), r'color_labels=True'),
    'label: a color of no class': (
        _label(COLORS, f'{TWO}, color_labels=True, palette=[[0, 0, 0], [0, 200, 0]]'),
        r'contains the color \[200, 0, 0\]',
    ),
    'list: not there': (_settings(f"{TWO}, ann_file='split.txt'"), r'the split file .*split\.txt cannot be read'),
    'list: empty': (_file('split.txt', '\n', f"{TWO}, ann_file='split.txt'"), r'split\.txt names no image'),
    'list: an image that is not there': (
        _file('split.txt', '0\nnobody\n', f"{TWO}, ann_file='split.txt'"),
        r'nobody of .*split\.txt is not among the images'),
    'list: not text': (_file('split.txt', b'\xff\xfe\x00', f"{TWO}, ann_file='split.txt'"), r'split\.txt cannot'),
    'classes: no file': (_settings(LISTED), r'classes file classes\.yaml cannot be read'),
    'classes: not YAML': (_file('classes.yaml', 'classes: [a', LISTED), r'classes\.yaml is not valid YAML'),
    'classes: twice the same': (_file('classes.yaml', 'classes: [a, a]', LISTED), r'has the class a twice'),
    'classes: twice the same with colors': (
        _file('classes.yaml', 'classes: [{name: a, color: [1, 2, 3]}, {name: a, color: [4, 5, 6]}]', LISTED),
        r'classes\.yaml has the class a twice'),
    'classes: no color': (
        _file('classes.yaml', 'classes: [{name: a, color: crimson}, b]', LISTED), r"color 'crimson', expected"),
    'classes: an unknown key': (
        _file('classes.yaml', 'classes: [{name: a, colr: [1, 2, 3]}, b]', LISTED),
        r"unknown key 'colr', did you mean 'color'"),
    'classes: one text': (_settings("classes='ground'"), r"set classes=\['ground'\]"),
    'classes: a name that is a list': (
        _file('classes.yaml', 'classes: [[a], b]', LISTED), r"found \['a'\]; quote"),
    'classes: a date that is none': (
        _file('classes.yaml', 'classes: [2001-99-99]', LISTED), r'is not valid YAML: .*; quote names'),
    'classes: nested without end': (_file('classes.yaml', '[' * 5000, LISTED), r'classes\.yaml is not valid YAML'),
    'classes: aliases that grow': (
        _file('classes.yaml', YAML_BOMB, LISTED), r'not valid YAML in line 2: an alias is used, which a list'),
    'classes: merges that grow': (
        _file('classes.yaml', YAML_BOMB.replace('[', '{<<: [').replace(']', ']}'), LISTED), r'is not valid YAML'),
    'classes: two megabytes': (
        _file('classes.yaml', '#' * 2**21, LISTED),
        r'is longer than 1048576 characters, which no list of classes'),
    'palette: too short': (_settings(f'{TWO}, palette=[[0, 0, 0]]'), r'1 colors for 2 classes'),
    'label_map: a class that is not there': (
        _settings(f'{TWO}, label_map={{0: 0, 1: 7}}'), r'sends the raw value 1 to 7'),
    'label_map: beside reduce_zero_label': (
        _settings(f'{TWO}, label_map={{0: 0, 1: 1}}, reduce_zero_label=True'), r'leave reduce_zero_label out'),
    'instance_divisor: 1': (_settings(f'{TWO}, instance_divisor=1'), r'a number from 2 to 65535'),
}  # fmt: skip
"""Name -> (what makes the input and says how it is given to a tool, pattern of the line that must come)."""
