"""References to a config's own variables, ``'${crop_size}'``, which get their values when the config is whole.

What a base file computes from a variable stays as it is when a config that inherits it gives the variable another
value. A reference is looked up after all files and options::

    crop_size = (512, 512)
    train_pipeline = [dict(type='RandomResizeCrop', crop_size='${crop_size}', scale='${image_scale} * 0.5')]
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmengine.config import Config

from swinseg.errors import ConfigError, quoted

_REFERENCE = re.compile(r'\$\{(\w+)\}(?:\s*\*\s*(\d+(?:\.\d+)?))?')


def referred_variables(content: Mapping[str, Any], *, within: Collection[str]) -> set[str]:
    """Return the variables of a config that some of its parts refer to, themselves or by way of other variables.

    Args:
        content: of the config.
        within: top-level names of the parts.
    """
    found: set[str] = set()
    waiting = [name for name in within if name in content]
    while waiting:
        new = set(_referred(content[waiting.pop()])) - found
        found |= new
        waiting += [name for name in new if name in content]
    return found


def names_referred_to(text: str) -> list[str]:
    """Return the variables that a text, such as one in a config's source, refers to."""
    return re.findall(r'\$\{(\w+)\}', text)


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        match = _REFERENCE.fullmatch(node)
        if match:
            yield match[1]
    elif isinstance(node, (Mapping, list, tuple)):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _referred(child)


def fill_in_variables(cfg: Config) -> None:
    """Put the values of variables in the places that refer to them.

    ``'${name} * 0.5'`` is half of a number, or of each number of a tuple or list; whole numbers stay whole.

    Args:
        cfg: it is changed; one without references stays as it is.

    Raises:
        ConfigError: there is no such variable, it refers to itself, or it has a factor and is no number.
    """
    content: dict[str, Any] = cfg._cfg_dict
    if not any(_referred(content)):
        return
    # Before any is filled in, for what a reference stands for may have further ones.
    variables = copy.deepcopy(content)
    for key in list(content):
        content[key] = _filled(content[key], variables, place=key, within=())


def _filled(node: Any, variables: Mapping[str, Any], *, place: str, within: tuple[str, ...]) -> Any:
    if isinstance(node, str):
        match = _REFERENCE.fullmatch(node)
        return node if match is None else _value(match, variables, place=place, within=within)
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _filled(value, variables, place=f'{place}.{key}', within=within)
        return node
    if isinstance(node, (list, tuple)):
        return type(node)(
            _filled(value, variables, place=f'{place}.{number}', within=within)
            for number, value in enumerate(node)
        )
    return node


def _value(
    match: re.Match[str], variables: Mapping[str, Any], *, place: str, within: tuple[str, ...]
) -> Any:
    name, factor = match.groups()
    if name not in variables:
        near = difflib.get_close_matches(name, list(variables), n=1)
        hint = f'; did you mean {near[0]}?' if near else f': add a line {name} = ...'
        raise ConfigError(f'{place} is {quoted(match[0])}, but the config has no {name}{hint}')
    if name in within:
        raise ConfigError(f'{place}: the variable {name} refers to itself; give it a value')
    value = copy.deepcopy(variables[name])
    value = _filled(value, variables, place=name, within=(*within, name))
    return value if factor is None else _times(value, float(factor), match[0], place)


def _times(value: Any, factor: float, text: str, place: str) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_times(each, factor, text, place) for each in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(
            f'{place} is {quoted(text)}, but {quoted(value)} is no number; leave the factor out, or give the '
            'variable numbers'
        )
    return type(value)(value * factor)
