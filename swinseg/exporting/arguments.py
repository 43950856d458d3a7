"""What an export may be asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmengine.config import Config

from swinseg.errors import ExportError
from swinseg.exporting.onnx_file import OPSETS
from swinseg.exporting.targets import TARGETS
from swinseg.runtimes.base import INPUTS, OUTPUTS

OPSET = 17


def check_arguments(
    to: str,
    *,
    dtype: str,
    input: str,
    output: str,
    resize: bool,
    size: Sequence[int] | None,
    opset: int,
) -> None:
    """Make sure that arguments are known and go together.

    Raises:
        ExportError: they do not.
    """
    if dtype not in TARGETS[to].dtypes:
        raise ExportError(
            f'{to} has no form in {dtype!r} here; dtype must be one of {", ".join(TARGETS[to].dtypes)}'
        )
    for name, value, known in (('input', input, INPUTS), ('output', output, OUTPUTS)):
        if value not in known:
            raise ExportError(f'{name} must be one of {", ".join(known)}, not {value!r}')
    if resize and input != 'image':
        raise ExportError(
            f'resize=True (--resize) is for images as they are in a file, not for input={input!r}; give '
            "input='image' (--input image) with it"
        )
    if opset not in OPSETS:
        raise ExportError(
            f'opset must be from {OPSETS[0]} to {OPSETS[-1]}, not {opset}; {OPSET} is read by '
            'most runtimes'
        )
    if size is not None and (len(size) != 2 or any(int(side) < 1 for side in size)):
        raise ExportError(
            f'size must be a height and a width of at least 1 pixel, not {tuple(size)}'
        )


def check_calibration(
    dtype: str, data: str | os.PathLike[str] | Config | None, images: int
) -> None:
    """Make sure that int8 has images to be calibrated and measured on.

    Raises:
        ExportError: it has none.
    """
    if dtype != 'int8':
        return
    if data is None:
        raise ExportError(
            'int8 is calibrated and measured on images: give the config that the model was trained with as data '
            '(--data CONFIG)'
        )
    if images < 1:
        raise ExportError(f'int8 is calibrated on one image at least, not {images}')
