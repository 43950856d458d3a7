"""Metadata of a checkpoint: class names, palette, and the config it was trained with."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.logging import print_log

from swinseg.datasets.labels.dtype import MAX_LABEL_VALUES
from swinseg.errors import CheckpointError, quoted

_CONSTANTS = {'inf': float('inf'), 'nan': float('nan')}
# The longest config of mmseg's zoo has 20 kB.
_MOST_CHARACTERS = 1_000_000
_LONGEST_NAME = 500


def checkpoint_meta(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return class names, palette and config of a checkpoint, each None where it has none.

    Reads what mmengine (``dataset_meta``, ``cfg``) and mmcv 1 (``CLASSES``, ``PALETTE``, ``config``) save, and the
    metadata that ``swinseg convert`` writes into ``.safetensors`` files. The config is text in the
    syntax of Python; it is parsed, not run: only literals, lists, tuples and ``dict(...)`` are understood. What
    it describes may still be harmful to build: see ``swinseg.config.untrusted``.

    Args:
        checkpoint: as ``read_checkpoint`` returns it.

    Returns:
        ``classes``: tuple of names; ``palette``: list of [R, G, B] in [0, 255]; ``config``: dict of literals.

    Raises:
        CheckpointError: class names or palette are none.
    """
    raw = raw_meta(checkpoint)
    config = None
    if raw['config'] is not None:
        try:
            config = parse_config_text(raw['config'])
        except ValueError as error:
            print_log(
                f'the config inside the checkpoint is ignored: {error}', logger='current', level=30
            )
    return {
        'classes': None if raw['classes'] is None else _checked_classes(raw['classes']),
        'palette': None if raw['palette'] is None else _checked_palette(raw['palette']),
        'config': config,
    }


def _checked_classes(classes: Any) -> tuple[str, ...]:
    """Return class names, numbers among them as text.

    Raises:
        CheckpointError: they are no list of short names that can be printed.
    """
    names = (
        classes if isinstance(classes, (list, tuple)) and len(classes) <= MAX_LABEL_VALUES else ()
    )
    checked = tuple(str(name) for name in names if isinstance(name, (str, int)))
    # A name with control characters could rewrite a terminal that it is printed to.
    if (
        not checked
        or len(checked) < len(names)
        or not all(name.isprintable() and len(name) <= _LONGEST_NAME for name in checked)
    ):
        raise CheckpointError(
            f'expected a list of class names in the checkpoint, found {quoted(classes)}; '
            'save it with dataset_meta=dict(classes=(...)), or give the config with --config and leave them out'
        )
    return checked


def _checked_palette(palette: Any) -> list[list[int]]:
    if isinstance(palette, np.ndarray) and palette.size <= 3 * MAX_LABEL_VALUES:
        palette = palette.tolist()
    is_palette = isinstance(palette, (list, tuple)) and len(palette) <= MAX_LABEL_VALUES
    if not is_palette or not all(_is_color(color) for color in palette):
        raise CheckpointError(
            f'expected a palette of [red, green, blue] from 0 to 255 in the checkpoint, found {quoted(palette)}; '
            'save it with dataset_meta=dict(classes=(...), palette=[...]), or without one'
        )
    return [[int(value) for value in color] for color in palette]


def _is_color(color: Any) -> bool:
    return (
        isinstance(color, (list, tuple))
        and len(color) == 3
        and all(isinstance(value, (int, float)) and 0 <= value <= 255 for value in color)
    )


def raw_meta(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``classes``, ``palette`` and ``config`` (its text) as the checkpoint has them, None if absent."""
    meta = checkpoint.get('meta')
    if not isinstance(meta, Mapping):
        return {'classes': None, 'palette': None, 'config': None}
    dataset = meta.get('dataset_meta')
    # mmcv 1 wrote capitals, and metadata of .safetensors files are strings in the top level.
    merged = {str(key).lower(): value for key, value in meta.items()}
    if isinstance(dataset, Mapping):
        merged.update({str(key).lower(): value for key, value in dataset.items()})
    config = merged.get('cfg', merged.get('config'))
    return {
        'classes': _from_json(merged.get('classes')),
        'palette': _from_json(merged.get('palette')),
        'config': config if isinstance(config, str) and config.strip() else None,
    }


def parse_config_text(text: str) -> dict[str, Any]:
    """Parse a config as mmengine writes it, without running it.

    Raises:
        ValueError: there is something in it other than names assigned to literals.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f'it has {len(text):,} characters, more than any config')
    try:
        module = ast.parse(text)
        config: dict[str, Any] = {}
        for statement in module.body:
            if (
                not isinstance(statement, ast.Assign)
                or len(statement.targets) != 1
                or not isinstance(statement.targets[0], ast.Name)
            ):
                raise ValueError(f'line {statement.lineno} is not an assignment to one name')
            config[statement.targets[0].id] = _value(statement.value)
    except SyntaxError as error:
        raise ValueError(f'line {error.lineno} is not Python') from error
    except TypeError as error:
        raise ValueError('it has a key that cannot be one, such as a list') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('it is nested too deeply') from error
    return config


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {_value(item) for item in node.elts}
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _value(node.operand)
        if isinstance(operand, (int, float)):
            return -operand
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'dict'
        and all(keyword.arg for keyword in node.keywords)
    ):
        # mmengine writes a dict whose keys are no names, such as raw label values, as dict({0: ...}).
        first = {} if not node.args else _value(node.args[0]) if len(node.args) == 1 else None
        if isinstance(first, dict):
            named = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
            return {**first, **named}
    raise ValueError(
        f'line {node.lineno} has something other than a literal: {ast.unparse(node)[:60]}'
    )


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return None
