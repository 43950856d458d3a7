"""YAML file of the classes of one's own dataset: names, colors, and the label values that stand for them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swinseg.datasets.plain_yaml import read_yaml
from swinseg.errors import DataError, quoted, shown


@dataclass(frozen=True)
class ClassList:
    """Class names in the order of their indices, their colors, and the raw values that stand for them."""

    names: tuple[str, ...]
    palette: list[list[int]] | None = None
    label_map: dict[int, int] | None = None
    ignore_values: tuple[int, ...] | None = None


def read_classes_file(path: str | os.PathLike[str]) -> ClassList:
    """Read a YAML file of classes.

    ::

        classes:
          - {name: road, color: [128, 64, 128], values: [7]}
          - {name: person, color: '#dc143c', values: [24, 25]}
        ignore_values: [0, 255]        # optional

    ``color`` and ``values`` (one number or several) are optional, for all classes or none; an entry may be
    just the name. Without ``values`` the label files hold class indices, 0 for the first class.

    Raises:
        DataError: the file is missing, is no such YAML, or names something unknown.
    """
    where = os.fspath(path)
    content = read_yaml(path, 'the classes file', fix='set classes_file')
    if not isinstance(content, dict) or not isinstance(content.get('classes'), list):
        raise DataError(
            f"the classes file {where} must have a list named 'classes', for example "
            "'classes: [{name: road, color: [128, 64, 128]}, {name: sky}]'"
        )
    _reject_unknown(content, ('classes', 'ignore_values'), f'the classes file {where}')
    names: list[str] = []
    colors: dict[str, list[int]] = {}
    values: dict[int, int] = {}
    with_values = 0
    for index, entry in enumerate(content['classes']):
        if isinstance(entry, str):
            entry = {'name': entry}
        at = f'class {index + 1} of {where}'
        if not isinstance(entry, dict) or not isinstance(entry.get('name'), str):
            raise DataError(
                f'{at} must be a name or have one, found {shown(entry)}; '
                'quote names that YAML takes for something else, such as yes or 12'
            )
        _reject_unknown(entry, ('name', 'color', 'color', 'values', 'value'), at)
        if entry['name'] in names:
            raise DataError(
                f'the classes file {where} has the class {shown(entry["name"])} twice; rename one, or give one '
                'class the values of both'
            )
        names.append(entry['name'])
        color = entry.get('color', entry.get('color'))
        if color is not None:
            colors[entry['name']] = _parse_color(color, at)
        raw = entry.get('values', entry.get('value'))
        if raw is not None:
            with_values += 1
            for value in whole_numbers(raw, at):
                if value in values:
                    raise DataError(
                        f'{at} has the raw value {value}, which {names[values[value]]} has already'
                    )
                values[value] = index
    if 0 < with_values < len(names):
        raise DataError(
            f'{with_values} of {len(names)} classes in {where} have values; give values to all or to none'
        )
    if 0 < len(colors) < len(names):
        missing = next(name for name in names if name not in colors)
        raise DataError(
            f'the class {missing} in {where} has no color; give one to all classes or to none'
        )
    ignored = content.get('ignore_values')
    return ClassList(
        names=tuple(names),
        palette=[colors[name] for name in names] if colors else None,
        label_map=values or None,
        ignore_values=None if ignored is None else tuple(whole_numbers(ignored, where)),
    )


def _reject_unknown(entry: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(shown(key), known, n=1)
            suggestion = (
                f', did you mean {near[0]!r}' if near else f', known are {", ".join(known)}'
            )
            raise DataError(f'{where} has the unknown key {quoted(key)}{suggestion}')


def _parse_color(color: Any, where: str) -> list[int]:
    if isinstance(color, str):
        digits = color.removeprefix('#')
        try:
            if len(digits) == 6:
                return list(bytes.fromhex(digits))
        except ValueError:
            pass
    elif (
        isinstance(color, (list, tuple))
        and len(color) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in color)
    ):
        return list(color)
    raise DataError(
        f"{where} has the color {quoted(color)}, expected [red, green, blue] or '#rrggbb'"
    )


def whole_numbers(raw: Any, where: str) -> list[int]:
    """Return raw label values, one or several.

    Args:
        raw: a number, or a list of them.
        where: they stand, for the message.

    Raises:
        DataError: they are no whole numbers from 0 to 65535.
    """
    values = list(raw) if isinstance(raw, (list, tuple)) else [raw]
    for value in values:
        if type(value) is not int or not 0 <= value <= 65535:
            raise DataError(
                f'{where} has the raw label value {quoted(value)}, expected whole numbers from 0 to 65535'
            )
    return values
