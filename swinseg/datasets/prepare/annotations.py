"""Reading annotation files in JSON, and saying what is wrong with them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.image_files import decode_image, read_bytes
from swinseg.datasets.prepare.source import Label, PrepareError

BACKGROUND = 'background'
_MOST_CLASSES = 255


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        PrepareError: it cannot be read or holds something else.
    """
    where = os.fspath(path)
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise PrepareError(f'{where} cannot be read: {error.strerror or error}') from error
    except ValueError as error:
        raise PrepareError(f'{where} is no valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise PrepareError(f'{where} must hold a JSON object, but holds a {type(content).__name__}')
    return content


def field(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return an entry's value, of one of some types.

    Raises:
        PrepareError: it is missing or of another type.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get(key), kind):
        kinds = ' or '.join(
            each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,))
        )
        found = f'{key}={entry[key]!r}' if isinstance(entry, Mapping) and key in entry else 'none'
        raise PrepareError(f'{where} must have {key!r}, a {kinds}, but has {found[:80]}')
    return entry[key]


def points(values: Any, where: str, *, fewest: int) -> NDArray[np.float64]:
    """Return corners as (N, 2) float64.

    Args:
        values: a list of pairs, or of all coordinates in a row.
        where: for the message.
        fewest: how many there must be.

    Raises:
        PrepareError: they are no such list.
    """
    try:
        corners = np.asarray(values, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        corners = np.empty((0, 2))
    if len(corners) < fewest or not np.isfinite(corners).all():
        raise PrepareError(
            f'{where} must have {fewest} or more corners (x, y), but has {str(values)[:80]}'
        )
    return corners


def check_number_of_classes(names: list[str], where: str) -> None:
    """Refuse more classes than 8-bit labels have room for.

    Raises:
        PrepareError: there are more.
    """
    if len(names) > _MOST_CLASSES:
        raise PrepareError(
            f'{where} has {len(names)} classes with the background, but labels of 8 bits have room for '
            f'{_MOST_CLASSES}'
        )


def blank_label(image: Path, expected: tuple[int, int] | None, where: str) -> Label:
    """Return a label of an image's size, all 0.

    Args:
        image: the file.
        expected: (height, width) that the annotation says, or None.
        where: for the message.

    Raises:
        DataError: the image cannot be read, or has another size.
    """
    size = decode_image(read_bytes(image), image).shape[:2]
    if expected is not None and size != expected:
        raise PrepareError(
            f'{where} is about an image of {expected[0]} x {expected[1]} pixels, but {image} has '
            f'{size[0]} x {size[1]} (height x width); export it again for this image'
        )
    return np.zeros(size, np.uint8)
