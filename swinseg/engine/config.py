"""Reading an mm-style config so that a mistake in it stops at once, with the nearest thing that exists."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from swinseg.engine.config_keys import KNOWN_TOP_LEVEL, accepted, check_config, dotted, near_miss
from swinseg.engine.errors import ConfigError
from swinseg.errors import UserError

__all__ = ['ConfigError', 'check_config', 'load_config', 'parse_options']


def load_config(
    path: str | Path, options: Mapping[str, Any] | Sequence[str] | None = None
) -> Config:
    """Read a config file, apply overrides, and check every key.

    Args:
        path: a ``.py`` config (``.json`` and ``.yaml`` work as in mmengine).
        options: overrides, as ``{'model.backbone.window_size': 12}`` or as ``['model.backbone.window_size=12']``.
            An override must name something that exists or that its class accepts. ``data_root`` alone
            stands for the ``data_root`` of the training, validation and test datasets.

    Raises:
        ConfigError: the file is missing or fails, a key or a ``type`` is unknown, an option leads nowhere, or
            the number of classes of a head differs from that of the dataset.
    """
    path = Path(path)
    cfg = _read(path)
    overrides = parse_options(options) if isinstance(options, Sequence) else dict(options or {})
    if overrides:
        _check_options(cfg, overrides)
        cfg.merge_from_dict(overrides)
        if 'data_root' in overrides:
            _spread_data_root(cfg, overrides['data_root'])
    check_config(cfg, name=str(path))
    return cfg


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Turn ``['a.b=1', 'c=(2,3)']`` into ``{'a.b': 1, 'c': (2, 3)}`` with mmengine's rules for values."""
    parsed = {}
    for option in options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise ConfigError(
                f'--cfg-options takes pairs such as model.backbone.window_size=12, got {option!r}'
            )
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def _read(path: Path) -> Config:
    if not os.path.isfile(path):
        raise ConfigError(f'there is no config file {path}{_similar_files(path)}')
    if path.suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise ConfigError(f'a config is a .py file, got {path}')
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except SyntaxError as error:
        origin = error.__context__ if isinstance(error.__context__, SyntaxError) else error
        named = re.search(r'config file (.+?): ', str(error))
        file = named.group(1) if named else path
        raise ConfigError(
            f'{_short(file)}, line {origin.lineno}: {origin.msg} (the config is not valid Python)'
        ) from error
    except Exception as error:
        # mmengine appends the whole of sys.path to a failed import, on lines of its own.
        text = (
            (str(error) or 'no message').splitlines()[0].removesuffix(', the current sys.path is: ')
        )
        raise ConfigError(
            f'{_place_of_error(error, path)}: the config cannot be read: {type(error).__name__}: {text}'
        ) from error


def _place_of_error(error: Exception, path: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    reader = [i for i, frame in enumerate(frames) if frame.filename == inspect.getfile(Config)]
    for frame in reversed(frames[reader[-1] + 1 :] if reader else []):
        if frame.name == '<module>':  # mmengine executes a config as a module of its own
            return f'{_short(frame.filename)}, line {frame.lineno}'
    return str(path)


def _short(file: str | Path) -> str:
    try:
        return str(Path(file).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _similar_files(path: Path) -> str:
    folders = [folder for folder in (path.parent, Path('configs')) if os.path.isdir(folder)]
    files = {file.name: file for folder in reversed(folders) for file in folder.glob('*.py')}
    near = difflib.get_close_matches(path.name, files, n=2, cutoff=0.6)
    if near:
        return '; did you mean ' + ' or '.join(str(files[name]) for name in near) + '?'
    return (
        '' if os.path.isdir(path.parent) else f' (the folder {path.parent} does not exist either)'
    )


def _check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    content = cfg.to_dict()
    for option in options:
        node: Any = content
        place: tuple[str | int, ...] = ()
        parts = option.split('.')
        for position, part in enumerate(parts):
            is_last = position == len(parts) - 1
            if isinstance(node, (list, tuple)):
                if not part.isdigit() or int(part) >= len(node):
                    raise ConfigError(
                        f'--cfg-options {option}: {dotted(place)} is a list of {len(node)}, so {part} must '
                        f'be a number from 0 to {len(node) - 1}'
                    )
                node, place = node[int(part)], (*place, int(part))
                continue
            if not isinstance(node, dict):
                raise ConfigError(
                    f'--cfg-options {option}: {dotted(place)} is {node!r} and contains no {part}'
                )
            if not place and part not in node and part in KNOWN_TOP_LEVEL:
                break  # it begins here; the check of the whole config comes later
            if part not in node and not (is_last and _may_add(place, node, part)):
                near = near_miss(part, _choices(place, node))
                hint = f'; did you mean {dotted((*place, near))}?' if near else ''
                owner = dotted(place) or 'the config'
                raise ConfigError(f'--cfg-options {option}: {owner} has no {part}{hint}')
            node, place = node.get(part), (*place, part)


def _choices(place: tuple[str | int, ...], node: Mapping[str, Any]) -> set[str]:
    if not place:
        return {*node, *KNOWN_TOP_LEVEL}
    known = accepted(place, node, 'the config')
    return {*node, *(known.keys if known else ())}


def _may_add(place: tuple[str | int, ...], node: Mapping[str, Any], key: str) -> bool:
    if not place:
        return False
    known = accepted(place, node, 'the config')
    # The check of the whole config comes later and knows near misses in an open constructor.
    return known is not None and (key in known.keys or known.is_open)


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
