"""Reading an mm-style config so that a mistake in it stops at once, with the nearest thing that exists."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import shlex
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swinseg.config.checking import check_config
from swinseg.config.options import apply_options, parse_options
from swinseg.config.references import fill_in_variables
from swinseg.config.registered_types import spell_types
from swinseg.config.shipped import shipped_names, shipped_path
from swinseg.config.training_length import follow_length, length_of, settle_length
from swinseg.config.variables import check_variables
from swinseg.errors import ConfigError, UserError

__all__ = ['ConfigError', 'check_config', 'load_config', 'parse_options']


def load_config(
    path: str | os.PathLike[str], options: Mapping[str, Any] | Sequence[str] | None = None
) -> Config:
    """Read a config file, apply overrides, and check every key.

    Args:
        path: a ``.py`` config (``.json`` and ``.yaml`` work as in mmengine), or the name of one that comes with
            swinseg, with or without ``.py``: ``'upernet_swin_t_ade20k'``. A file that exists comes first.
        options: overrides, as ``{'model.backbone.window_size': 12}`` or as ``['model.backbone.window_size=12']``.
            An override must name something that exists or that its class accepts. ``data_root`` alone
            stands for the ``data_root`` of the training, validation and test datasets. With another length of the
            training, schedules that ended with it do so again.
            Items of lists are called by their types: ``train_dataloader.dataset.pipeline.RandomFlip.prob``.

    Raises:
        ConfigError: the file is missing or fails, a key or a ``type`` is unknown, an option leads nowhere, or
            the number of classes of a head differs from that of the dataset.
    """
    path = _found(Path(path))
    cfg = _read(path)
    overrides = parse_options(options) if isinstance(options, Sequence) else dict(options or {})
    check_variables(path, options=overrides)
    _spell_types(cfg, path)
    planned = length_of(cfg.get('train_cfg'))
    apply_options(cfg, overrides)
    fill_in_variables(cfg)
    _drop_delete_marks(cfg)
    if overrides:
        follow_length(cfg, planned=planned, options=overrides)
    settle_length(cfg)
    check_config(cfg, name=str(path))
    return cfg


def _found(path: Path) -> Path:
    """Return the file of a config: this one, the one in the current folder that is named so, or a shipped one."""
    # A shipped one that was copied to be edited is named as before.
    for candidate in (path, path.with_name(f'{path.name}.py') if path.name else path):
        if os.path.isfile(candidate):
            return candidate
    shipped = shipped_path(path)
    if shipped is None:
        raise ConfigError(f'there is no config file {path}{_similar(path)}')
    return shipped


def _read(path: Path) -> Config:
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
            f'{_import_hint(error, path)}'
        ) from error


def _spell_types(cfg: Config, path: Path) -> None:
    try:
        spell_types(cfg)
    except ConfigError as error:
        raise ConfigError(f'{error}{_import_hint(error, path)}') from error


def _import_hint(error: BaseException | None, path: Path) -> str:
    """Say how Python finds a module that is not there, when it lies beside a config or in a folder above."""
    module = None
    while error is not None and not module:
        module = error.name if isinstance(error, ModuleNotFoundError) else None
        error = error.__cause__ or error.__context__
    if not module:
        return ''
    file = Path(*module.split('.'))
    for folder in path.absolute().parents:
        if os.path.isfile(folder / file.with_suffix('.py')) or os.path.isdir(folder / file):
            return (
                f' ({module} is in {folder}, where Python does not look for modules: put '
                f'PYTHONPATH={shlex.quote(str(folder))} before the command)'
            )
    return f' (there is no module {module}: install it, or name its folder in PYTHONPATH)'


def _drop_delete_marks(node: Any) -> None:
    """Take ``_delete_=True`` out where a base has nothing to delete: mmengine hands it to constructors."""
    if isinstance(node, (dict, Config)):
        node.pop('_delete_', None)
    for child in node.values() if isinstance(node, (dict, Config)) else node:
        if isinstance(child, (dict, list, tuple)):
            _drop_delete_marks(child)


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


def _similar(path: Path) -> str:
    folders = [folder for folder in (path.parent, Path('configs')) if os.path.isdir(folder)]
    files = {file.name: str(file) for folder in reversed(folders) for file in folder.glob('*.py')}
    names = {f'{Path(name).name}.py': name for name in _shipped_names()}
    # A file and a shipped config of one name are the same to a reader; say it as it was asked for.
    known = names | files if path.suffix == '.py' else files | names
    name = f'{path.name.removesuffix(".py")}.py'
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if near:
        return '; did you mean ' + ' or '.join(known[each] for each in near) + '?'
    return (
        '' if os.path.isdir(path.parent) else f' (the folder {path.parent} does not exist either)'
    )


def _shipped_names() -> list[str]:
    try:
        return shipped_names()
    except ConfigError:
        return []
