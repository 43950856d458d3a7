"""Run-length encodings of masks: runs of 0 and 1 in turn, with COCO's (Lin et al., 2014) down the columns."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.prepare.source import PrepareError
from swinseg.errors import quoted, shown

_BITS, _MORE, _SIGN, _FIRST_CHARACTER = 5, 32, 16, 48


def decode_counts(text: str, pixels: int) -> list[int]:
    """Return the run lengths of COCO's compressed form.

    A number is a row of characters with five bits each, the lowest first; from the third run on it is the
    difference to the run before the last.

    Args:
        text: the compressed form.
        pixels: of the mask; no run is longer.

    Raises:
        PrepareError: the text is no such form, or has a run that is longer than the mask.
    """
    # With its sign; without a bound a long text is one number of millions of digits.
    most_bits = pixels.bit_length() + 1 + _BITS
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits < 2 * _MORE:
            raise PrepareError(
                f'a compressed mask holds characters from 0 to o, but {character!r} was found'
            )
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if shift > most_bits:
            raise PrepareError(
                f'a compressed mask has a run that is longer than its {pixels} pixels'
            )
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise PrepareError('a compressed mask ends in the middle of a number')
    return counts


def _as_text(counts: str) -> str:
    """Return the compressed form; pycocotools gives bytes, of which ``str`` makes a text in quotation marks."""
    if not counts.startswith(("b'", 'b"')):
        return counts
    try:
        return bytes(ast.literal_eval(counts)).decode('ascii')
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise PrepareError(
            f'a compressed mask is no text but {quoted(counts)}; write counts.decode() into the JSON'
        ) from error


def mask_of(counts: Sequence[int] | str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of a run-length encoding.

    Args:
        counts: lengths of the runs, or their compressed form.
        size: (height, width) in pixels.

    Raises:
        PrepareError: the runs do not fill the mask.
    """
    height, width = size
    runs = decode_counts(_as_text(counts), height * width) if isinstance(counts, str) else counts
    return runs_of(runs, height * width).reshape(width, height).T


def runs_of(runs: Sequence[int], pixels: int) -> NDArray[np.bool_]:
    """Return (pixels,) bool of runs of 0 and 1 in turn.

    Raises:
        PrepareError: the runs do not add up to ``pixels``.
    """
    for run in runs:
        if type(run) is not int or not 0 <= run <= pixels:
            raise PrepareError(
                f'the runs of a mask of {pixels} pixels must be whole numbers from 0 to as many, but one is '
                f'{shown(run)}'
            )
    if sum(runs) != pixels:
        raise PrepareError(
            f'the runs of a mask of {pixels} pixels must add up to as many, but add up to {sum(runs)}'
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
