"""Options of the command line, ``--cfg-options KEY=VALUE``: what their values mean, and where their keys lead.

mmengine takes every space out of a value, knows no dicts, and fails in some brackets.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from swinseg.config.checking import KNOWN_TOP_LEVEL, accepted, dotted, near_miss
from swinseg.config.list_items import named_key, numbered_key
from swinseg.errors import ConfigError, quoted, shown

_CLOSED_BY = {'(': ')', '[': ']', '{': '}'}
# A text in quotation marks that is a whole item: "it's" and "don't" have marks that open nothing.
_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?=[,:\])}]|$)""")
_MOST_DEPTH = 50


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Turn ``['a.b=1', 'c=(2,3)']`` into ``{'a.b': 1, 'c': (2, 3)}``.

    A value is a Python literal: a number, a text in quotation marks, a list, a tuple, a dict as ``{'k': v}`` or
    ``dict(k=v)``; ``true`` and ``false`` may be small. Texts in it need no quotation marks, unless they have a
    comma or a bracket that is not closed, or would be something else (``'1'``). ``a=1,2`` is a list and
    ``a=(1)`` a tuple, as in mmengine. Anything else is a text, every character of which stays.

    Raises:
        ConfigError: an option has no ``=``, a bracket in its value is not closed, or a dict in it has no keys.
    """
    parsed = {}
    for option in options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise ConfigError(
                '--cfg-options takes pairs such as model.backbone.window_size=12, got '
                f'{quoted(option)}'
            )
        try:
            parsed[key] = _parse(value)
        except ConfigError as error:
            raise ConfigError(
                f'--cfg-options {shown(key)}: {error}; a text with such characters is written in quotation '
                f'marks, as in "{shown(key)}=\'...\'"'
            ) from None
    return parsed


def _parse(text: str, depth: int = 0) -> Any:
    if depth > _MOST_DEPTH:
        raise ConfigError(f'the value is nested more than {_MOST_DEPTH} times')
    stripped = text.strip()
    is_call = re.match(r'dict\s*\(', stripped)
    start = is_call.end() - 1 if is_call else 0
    if stripped[start : start + 1] in _CLOSED_BY:
        end = _closing(stripped, start)
        if end is None:
            raise ConfigError(f'a bracket is not closed in {shown(stripped)}')
        if end == len(stripped) - 1:
            content = stripped[start + 1 : end]
            if is_call or stripped[0] == '{':
                return dict(_pairs(content, '=' if is_call else ':', depth))
            items = [_parse(item, depth + 1) for item in _items(content)]
            return tuple(items) if stripped[0] == '(' else items
    if len(_split(stripped, ',')) > 1:
        return [_parse(item, depth + 1) for item in _items(stripped)]
    return _leaf(stripped, otherwise=text if depth == 0 else stripped)


def _leaf(text: str, *, otherwise: Any) -> Any:
    if _QUOTED.fullmatch(text):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):  # such as an unfinished \x in the path of another system
            return otherwise
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    if text == 'None':
        return None
    for number in (int, lambda digits: int(digits, 0), float):
        try:
            return number(text)
        except ValueError:
            continue
    return otherwise


def _pairs(content: str, separator: str, depth: int) -> Iterator[tuple[Any, Any]]:
    for item in _items(content):
        name, *rest = _split(item, separator)
        key = name.strip() if separator == '=' else _leaf(name.strip(), otherwise=name.strip())
        if not rest or key == '' or name.strip()[0] in _CLOSED_BY:
            raise ConfigError(
                f'expected key{separator}value in a dict, found {quoted(item.strip())}'
            )
        yield key, _parse(separator.join(rest), depth + 1)


def _items(content: str) -> list[str]:
    items = _split(content, ',')
    return items[:-1] if not items[-1].strip() else items


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator is in no bracket and no quotation marks.

    Raises:
        ConfigError: it is there, and a bracket is not closed or not opened.
    """
    parts, begin, depth, is_balanced = [], 0, 0, True
    for position, character in _outside_quotes(text):
        if character in _CLOSED_BY:
            depth += 1
        elif character in _CLOSED_BY.values():
            depth -= 1
            is_balanced = is_balanced and depth >= 0
        elif character == separator and depth <= 0:
            parts.append(text[begin:position])
            begin = position + 1
    if (parts or (depth > 0 and separator in text)) and not (depth == 0 and is_balanced):
        raise ConfigError(f'a bracket is not closed or not opened in {shown(text)}')
    return [*parts, text[begin:]]


def _closing(text: str, start: int) -> int | None:
    """Return where the bracket at ``start`` is closed, or None."""
    open_brackets = []
    for position, character in _outside_quotes(text):
        if position < start:
            continue
        if character in _CLOSED_BY:
            open_brackets.append(character)
        elif character in _CLOSED_BY.values():
            if _CLOSED_BY[open_brackets.pop()] != character:
                return None
            if not open_brackets:
                return position
    return None


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    """Yield the characters of a text that are not in quotation marks, with their positions."""
    position, begins_item = 0, True
    while position < len(text):
        character = text[position]
        found = _QUOTED.match(text, position) if begins_item else None
        if found:
            position = found.end(1)
            begins_item = False
            continue
        yield position, character
        if not character.isspace():
            begins_item = character in ',:=([{'
        position += 1


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Change a config as options say.

    Args:
        cfg: it is changed.
        options: values by their places, such as ``{'optim_wrapper.clip_grad.max_norm': 1.0}``, with items of lists
            called as in :mod:`swinseg.config.list_items`. A place must exist, or be one that the class which is
            built there takes. ``data_root`` alone stands for that of all datasets.

    Raises:
        ConfigError: an option leads nowhere.
    """
    content = cfg.to_dict() if options else {}
    # All in the config as it stands, whose types other options may change.
    keys = {}
    for option in options:
        try:
            keys[option] = numbered_key(content, option)
        except ConfigError as error:
            raise ConfigError(f'--cfg-options {option}: {error}') from None
    for option in _in_order(options):
        key = keys[option]
        for place in _enter(content, key, options[option], option=option):
            cfg.merge_from_dict({f'{place}._delete_': True})
        _put(cfg, key, options[option])
    if 'data_root' in options:
        _spread_data_root(cfg, options['data_root'])


def _put(cfg: Config, key: str, value: Any) -> None:
    """Merge a value into a config; an item of a list that is no dict it replaces, which mmengine cannot."""
    place, _, last = key.rpartition('.')
    parent: Any = cfg
    for part in place.split('.') if place else ():
        parent = parent[int(part)] if isinstance(parent, list) else parent.get(part, {})
        if not isinstance(parent, (dict, list)):
            break
    if isinstance(parent, list):
        old = parent[int(last)]
        if not (isinstance(old, dict) and isinstance(value, Mapping)):
            parent[int(last)] = ConfigDict(value) if isinstance(value, dict) else value
            return
    cfg.merge_from_dict({key: value})


def _in_order(options: Iterable[str]) -> list[str]:
    """Put what is taken away, and the types, before their neighbors, whose names depend on them."""
    first: dict[str, int] = {}
    for index, option in enumerate(options):
        first.setdefault(option.rpartition('.')[0], index)
    ranks = {'_delete_': 0, 'type': 1}

    def rank(option: str) -> tuple[int, int]:
        parent, _, name = option.rpartition('.')
        return first[parent], ranks.get(name, 2)

    return sorted(options, key=rank)


def _enter(content: dict[str, Any], key: str, value: Any, *, option: str) -> list[str]:
    """Put a value into nested dicts and lists.

    Args:
        content: it is changed.
        key: with numbers for the items of lists.
        value: what it becomes.
        option: the key as it was given, for messages.

    Returns:
        Places on the way that become a dict, and were none.
    """
    begun: list[str] = []
    node: Any = content
    place: tuple[str | int, ...] = ()
    parts = key.split('.')
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        name: str | int = part
        if part == '_delete_' and is_last and place and isinstance(node, dict):
            node.clear()
            return begun
        here = named_key(content, dotted(place))
        if isinstance(node, tuple):
            raise ConfigError(
                f'--cfg-options {option}: {here} is a tuple, whose items stay; give all of it, '
                f"as in '{here}=(...)'"
            )
        if isinstance(node, list):
            # Of a list that an earlier option has put there.
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f'--cfg-options {option}: {dotted(place)} is a list of {len(node)}, so {part} must '
                    f'be a number from 0 to {len(node) - 1}'
                )
            name = int(part)
        elif not isinstance(node, dict):
            raise ConfigError(
                f'--cfg-options {option}: {here} is {quoted(node)} and contains no {part}'
            )
        elif part not in node:
            _require_takes(option, place, node, part, shown_place=here)
            node[part] = {}
        old = node[name]
        if old is None if not is_last else isinstance(value, Mapping) and not isinstance(old, dict):
            begun.append('.'.join(parts[: position + 1]))
            old = node[name] = {}
        if is_last:
            is_merged = isinstance(old, dict) and isinstance(value, Mapping)
            node[name] = {**old, **value} if is_merged else value
        node, place = node[name], (*place, name)
    return begun


def _require_takes(
    option: str,
    place: tuple[str | int, ...],
    node: Mapping[str, Any],
    key: str,
    *,
    shown_place: str,
) -> None:
    """Refuse a new key that nothing reads at its place."""
    if not place:
        known, is_open = KNOWN_TOP_LEVEL, False
    else:
        reader = accepted(place, node, 'the config')
        # Where nothing tells, and in an open constructor, the check of the whole config knows near misses.
        is_open = reader is None or reader.is_open
        known = reader.keys if reader else frozenset()
    if key in known or (place and key == '_scope_'):
        return
    cutoff = 0.8 if is_open else 0.6
    near = near_miss(key, {*node, *known}, cutoff=cutoff)
    if is_open and near is None:
        return
    hint = f'; did you mean {".".join(filter(None, (shown_place, near)))}?' if near else ''
    owner = shown_place or 'the config'
    raise ConfigError(f'--cfg-options {option}: {owner} has no {key}{hint}')


def _spread_data_root(cfg: Config, root: Any) -> None:
    def spread(node: Any) -> None:
        if isinstance(node, dict):
            if 'data_root' in node:
                node['data_root'] = root
            for key in ('dataset', 'datasets'):
                spread(node.get(key))
        elif isinstance(node, (list, tuple)):
            for item in node:
                spread(item)

    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        spread(cfg.get(loader))
