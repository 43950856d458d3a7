"""The ways in which a folder of images and labels goes wrong, each made from a good one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def _image(root: Path, part: str) -> Path:
    return sorted((root / 'images' / part).glob('*.jpg'))[0]


def _label(root: Path, part: str) -> Path:
    return root / 'annotations' / part / f'{_image(root, part).stem}.png'


def empty_folder(root: Path, part: str) -> None:
    """No image is left."""
    for path in (root / 'images' / part).iterdir():
        path.unlink()


def no_folder(root: Path, part: str) -> None:
    """The folder of images is not there."""
    shutil.rmtree(root / 'images' / part)


def image_without_label(root: Path, part: str) -> None:
    """One label is missing."""
    _label(root, part).unlink()


def label_of_another_size(root: Path, part: str) -> None:
    """One label is smaller than its image."""
    with Image.open(_label(root, part)) as label:
        smaller = label.crop((0, 0, 20, 30))
    smaller.save(_label(root, part))


def value_out_of_range(root: Path, part: str) -> None:
    """One pixel has the value 251, where classes go to 150."""
    with Image.open(_label(root, part)) as label:
        values = np.array(label)
    values[3, 5] = 251
    Image.fromarray(values).save(_label(root, part))


def text_named_jpg(root: Path, part: str) -> None:
    """One image is text."""
    _image(root, part).write_text('this is not a photograph\n')


def truncated_jpeg(root: Path, part: str) -> None:
    """One image ends after its first half."""
    content = _image(root, part).read_bytes()
    _image(root, part).write_bytes(content[: len(content) // 2])


def zero_byte_png(root: Path, part: str) -> None:
    """One label is empty."""
    _label(root, part).write_bytes(b'')


def rgb_label(root: Path, part: str) -> None:
    """One label is a color picture."""
    with Image.open(_label(root, part)) as label:
        size = label.size
    Image.new('RGB', size, (120, 120, 120)).save(_label(root, part))


CASES: dict[str, tuple[Callable[[Path, str], None], str]] = {
    'empty folder': (empty_folder, r'no image whose name ends in \.jpg is in .*images'),
    'no folder': (no_folder, r'folder of images .* does not exist'),
    'image without label': (image_without_label, r'have no label in .*annotations'),
    'label of another size': (label_of_another_size, r'annotations.*20'),
    'value out of range': (value_out_of_range, r'annotations.*251'),
    'text named .jpg': (text_named_jpg, r'images.*\.jpg'),
    'truncated JPEG': (truncated_jpeg, r'images.*\.jpg.* truncated'),
    'zero-byte PNG': (zero_byte_png, r'annotations.*\.png is empty'),
    'RGB label': (rgb_label, r'annotations.*\.png'),
}
"""Name -> (what breaks the folder, pattern of the sentence that says so)."""
