"""What training and evaluation begin with: a config of their own, a folder and a runner."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from swinseg.config.build_errors import refused_arguments
from swinseg.config.loading import load_config
from swinseg.config.references import fill_in_variables
from swinseg.config.registered_types import spell_types
from swinseg.engine.distributed.launch import join
from swinseg.engine.runner import SwinsegRunner
from swinseg.errors import ConfigError
from swinseg.files import make_folder

_run_number = itertools.count()


def own_config(config: str | os.PathLike[str] | Config) -> Config:
    """Return a config that may be changed: from its file, or a copy of the one that was given."""
    if isinstance(config, str | os.PathLike):
        return load_config(config)
    if not isinstance(config, Config):
        raise ConfigError(
            f'a config is the path of a file or what load_config returns, got a {type(config).__name__}'
        )
    cfg = copy.deepcopy(config)
    spell_types(cfg)
    fill_in_variables(cfg)
    return cfg


def require(cfg: Config, keys: Sequence[str], purpose: str) -> None:
    """Raise :class:`ConfigError` when a config lacks keys."""
    lacking = [key for key in keys if cfg.get(key) is None]
    if lacking:
        raise ConfigError(f'{purpose} needs {", ".join(lacking)} in {cfg.filename or "the config"}')


def join_launcher(cfg: Config, launcher: str) -> None:
    """Join the processes of a launcher, by the config's settings."""
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    join(launcher, backend=settings.get('backend'), timeout=settings.get('timeout'))
    cfg.launcher = launcher


def set_work_dir(cfg: Config, work_dir: str | os.PathLike[str] | None) -> Path:
    """Make the folder of a run, by default the config's or one of its name, and set it in the config."""
    name = Path(cfg.filename).stem if cfg.filename else 'unnamed'
    folder = make_folder(work_dir or cfg.get('work_dir') or Path('work_dirs') / name)
    cfg.work_dir = str(folder)
    return folder


def build_runner(cfg: Config) -> SwinsegRunner:
    """Build a runner under a name that no other run of this process has."""
    # mmengine finds loggers and scalars by this name and a time in whole seconds: two runs of one config
    # within a second would share them.
    name = cfg.get('experiment_name') or Path(cfg.filename or 'unnamed').stem
    cfg.experiment_name = f'{name}_{next(_run_number)}'
    for key in ('env_cfg', 'log_level', 'randomness'):
        if cfg.get(key) is None:  # mmengine has defaults where they are not there
            cfg.pop(key, None)
    with refused_arguments(cfg):
        return SwinsegRunner.from_cfg(cfg)
