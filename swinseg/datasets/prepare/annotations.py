"""Reading annotation files in JSON, and saying what is wrong with them.

Whatever such a file says of names, sizes and coordinates is compared with the folder and the image that it is
about before anything is built from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.checked import MAX_CLASSES
from swinseg.datasets.files.images import decode_values, read_bytes
from swinseg.datasets.prepare.shapes import check_inside
from swinseg.datasets.prepare.source import Label, PrepareError
from swinseg.errors import quoted, shown

BACKGROUND = 'background'
MOST_COORDINATE = 2**31
"""Far outside of every image, and its square is no infinity."""


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        PrepareError: it cannot be read, or is no UTF-8.
    """
    where = os.fspath(path)
    try:
        return Path(path).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise PrepareError(f'{where} cannot be read: {error.strerror or error}') from error
    except UnicodeDecodeError as error:
        raise PrepareError(
            f'{where} is no text in UTF-8: {error.reason}; export it again'
        ) from error


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        PrepareError: it cannot be read or holds something else.
    """
    content: dict[str, Any] = _read_json(path, dict, 'a JSON object')
    return content


def read_json_list(path: str | os.PathLike[str]) -> list[Any]:
    """Read a JSON file that holds a list.

    Raises:
        PrepareError: it cannot be read or holds something else.
    """
    content: list[Any] = _read_json(path, list, 'a JSON list')
    return content


def _read_json(path: str | os.PathLike[str], kind: type, name: str) -> Any:
    where = os.fspath(path)
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise PrepareError(f'{where} cannot be read: {error.strerror or error}') from error
    except ValueError as error:
        raise PrepareError(f'{where} is no valid JSON: {shown(str(error))}') from error
    except RecursionError as error:
        raise PrepareError(f'{where} is no annotation file: its JSON is nested too deep') from error
    if not isinstance(content, kind):
        raise PrepareError(f'{where} must hold {name}, but holds a {type(content).__name__}')
    return content


def field(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return an entry's value, of one of some types.

    Raises:
        PrepareError: it is missing or of another type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = ' or '.join(each.__name__ for each in kinds)
        found = 'none'
        if not isinstance(entry, Mapping):
            found = f'is {shown(entry)}'
        elif key in entry:
            found = f'has {key}={quoted(value)}'
        else:
            found = 'has none'
        raise PrepareError(f'{where} must have {key!r}, a {names}, but {found}')
    return value


def inner_name(name: str, where: str, *, below: str = '') -> str:
    """Return the relative path that a file names, with forward slashes and without ``..``.

    A path of Windows is understood too. Links in the folder are followed, for its owner has made them.

    Args:
        name: as it stands in the file.
        where: for the message.
        below: folder that the name is relative to, itself relative to the folder that it must not leave.

    Raises:
        PrepareError: it is empty, absolute, or leads out of the folder.
    """
    plain = name.replace('\\', '/')
    path = posixpath.normpath(posixpath.join(below, plain))
    is_absolute = plain.startswith('/') or re.match('[A-Za-z]:', plain) is not None
    if is_absolute or '\0' in plain or path == '.' or path.split('/')[0] == '..':
        raise PrepareError(
            f'{where} names the file {quoted(name)}, which is not inside the folder of the data set; write '
            'a name relative to it, and put the file there'
        )
    return path


def is_background(name: str) -> bool:
    """Return whether a class is called background, as Background and _background_ are."""
    return name.strip(' _').casefold() == BACKGROUND


def class_indices(found: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    """Return the index among ``names``, from :func:`class_names`, by name as it was found."""
    indices = {name: index for index, name in enumerate(names)}
    return {name: 0 if is_background(name) else indices[name] for name in found}


def class_names(found: Sequence[str], where: str) -> list[str]:
    """Return the background and the names after it, each once.

    Args:
        found: names in their order; a class that is called background, in any case, is the background.
        where: for the message.

    Raises:
        PrepareError: one is empty or no text, or there are more than 8-bit labels have room for.
    """
    names = [BACKGROUND, *(name for name in found if not is_background(name))]
    return _checked_names(names, where, counted='classes with the background')


def names_without_background(found: Sequence[str], where: str) -> list[str]:
    """Return the names of classes to one of which each pixel belongs, each once.

    Args:
        found: names in their order.
        where: for the message.

    Raises:
        PrepareError: as of :func:`class_names`.
    """
    return _checked_names(found, where, counted='classes')


def _checked_names(found: Sequence[str], where: str, *, counted: str) -> list[str]:
    for name in found:
        if not name.strip() or not name.isprintable():
            raise PrepareError(
                f'{where} has a class with the name {name[:40]!a}; give it one that can be read'
            )
    names = list(dict.fromkeys(found))
    if len(names) > MAX_CLASSES:
        raise PrepareError(
            f'{where} has {len(names)} {counted}, but labels of 8 bits have room for {MAX_CLASSES}'
        )
    return names


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
    except (TypeError, ValueError, OverflowError):
        corners = np.empty((0, 2))
    if len(corners) < fewest or not (np.abs(corners) < MOST_COORDINATE).all():
        raise PrepareError(
            f'{where} must have {fewest} or more corners (x, y), but has {shown(values)}'
        )
    return corners


@contextlib.contextmanager
def errors_at(where: str) -> Iterator[None]:
    """Say of a shape that is refused in the block where it stands.

    Raises:
        PrepareError: instead of a ``ValueError``.
    """
    try:
        yield
    except PrepareError as error:
        text = str(error)
        raise PrepareError(text if where in text else f'{where}: {text}') from error
    except ValueError as error:
        raise PrepareError(f'{where}: {error}') from error


def embedded_png(data: bytes, top: int, left: int, size: tuple[int, int]) -> bytes:
    """Return the bytes of a mask's PNG file whose header says that it fits into the image.

    Args:
        data: the file.
        top: row of the image that its first row belongs to.
        left: column likewise.
        size: (height, width) of the image.

    Raises:
        ValueError: it is no PNG file, or larger.
    """
    if data[:8] != b'\x89PNG\r\n\x1a\n' or data[12:16] != b'IHDR':
        raise ValueError('it is no PNG file')
    width, height = (int.from_bytes(data[start : start + 4], 'big') for start in (16, 20))
    check_inside(height, width, top, left, size)
    return data


def blank_label(
    image: Path, expected: tuple[int, int] | None, where: str, *, content: bytes | None = None
) -> Label:
    """Return a label of an image's size, all 0.

    Args:
        image: the file.
        expected: (height, width) that the annotation says, or None.
        where: for the message.
        content: of the image, where it is in no file of its own.

    Raises:
        DataError: the image cannot be read, or has another size.
    """
    data = read_bytes(image) if content is None else content
    size = decode_values(data, image).shape[:2]
    if expected is not None and size != expected:
        raise PrepareError(
            f'{where} is about an image of {shown(expected[0])} x {shown(expected[1])} pixels, but {image} has '
            f'{size[0]} x {size[1]} (height x width); export it again for this image'
        )
    return np.zeros(size, np.uint8)
