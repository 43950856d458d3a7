"""Items of the lists in a config, such as the steps of a pipeline, called by their types in dotted keys.

``train_dataloader.dataset.pipeline.RandomFlip.prob`` stays right when a step is put before it. An item without a
``type``, or with one that others in its list have, too, is called by its number.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.errors import ConfigError, shown
from swinseg.type_names import type_name


def item_names(items: Sequence[Any]) -> list[str]:
    """Return what the items of a list are called in a key."""
    kinds = [_kind(item) for item in items]
    return [
        kind if kind and kinds.count(kind) == 1 else str(number)
        for number, kind in enumerate(kinds)
    ]


def named_key(content: Any, key: str) -> str:
    """Return a dotted key with the items of lists called by their names.

    Args:
        content: nested dicts and lists.
        key: with names or numbers; what leads nowhere stays as it is.
    """
    parts = []
    for part in key.split('.'):
        if isinstance(content, (list, tuple)):
            names = item_names(content)
            if part in names:
                number = names.index(part)
            elif part.isdigit() and int(part) < len(content):
                number = int(part)
            else:
                parts.append(part)
                content = None
                continue
            parts.append(names[number])
            content = content[number]
        else:
            parts.append(part)
            content = content.get(part) if isinstance(content, Mapping) else None
    return '.'.join(parts)


def numbered_key(content: Any, key: str) -> str:
    """Return a dotted key with the numbers of items of lists in the places of their names.

    Args:
        content: nested dicts and lists.
        key: with names; what leads out of the content stays as it is.

    Raises:
        ConfigError: a list has no item of that name, or several, or a number stands where an item has a name.
    """
    parts: list[str] = []
    given = key.split('.')
    for position, part in enumerate(given):
        if isinstance(content, list):
            number = _number(content, part, key='.'.join(given[:position]))
            if number is None:
                rest = '.'.join(given[position:])
                named = named_key(content, rest)
                raise ConfigError(
                    f'items of lists are called by their types, not by numbers: write '
                    f'{".".join([*given[:position], named])} for {key}'
                )
            parts.append(str(number))
            content = content[number]
        else:
            parts.append(part)
            content = content.get(part) if isinstance(content, Mapping) else None
    return '.'.join(parts)


def _number(items: Sequence[Any], name: str, *, key: str) -> int | None:
    """Return the number of the item that a name belongs to, or None where it is a number in a name's place."""
    names = item_names(items)
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(items):
        return None
    same = [number for number, item in enumerate(items) if _kind(item) == name]
    if same:
        choice = ' or '.join(f'{key}.{number}' for number in same)
        raise ConfigError(f'{key} has {len(same)} items of type {name}: write {choice}')
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f'; did you mean {key}.{near[0]}?' if near else ''
    raise ConfigError(
        f'{key} is a list of {len(items)} without an item {shown(name)}; it has '
        f'{", ".join(names) or "none"}{hint}'
    )


def _kind(item: Any) -> str:
    kind = item.get('type') if isinstance(item, Mapping) else None
    name = '' if kind is None else type_name(kind)
    # An import path has dots, and a text of digits would be a number.
    return name if name.isidentifier() else ''
