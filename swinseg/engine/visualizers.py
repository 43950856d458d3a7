"""Backends of a run's figures and pictures: the ``vis_backends`` of the config's ``visualizer``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

from swinseg.errors import ConfigError
from swinseg.type_names import has_type, type_name

# What mmengine's backends import when they get their first figure.
_PACKAGES = {
    'AimVisBackend': 'aim',
    'ClearMLVisBackend': 'clearml',
    'DVCLiveVisBackend': 'dvclive',
    'MLflowVisBackend': 'mlflow',
    'NeptuneVisBackend': 'neptune',
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
}


def check_vis_backends(cfg: Config) -> None:
    """Look for the packages of the backends of a config.

    Raises:
        ConfigError: one is not installed.
    """
    visualizer = cfg.get('visualizer') or {}
    backends = visualizer.get('vis_backends') if isinstance(visualizer, Mapping) else None
    for index, backend in enumerate(backends or ()):
        kind = type_name(backend.get('type')) if isinstance(backend, Mapping) else ''
        package = _PACKAGES.get(kind)
        if package is not None and find_spec(package) is None:
            raise ConfigError(
                f'visualizer.vis_backends.{index} of {cfg.filename or "the config"} is a {kind}, which needs the '
                f'package {package}, and that is not installed: pip install {package}, or take the backend out of '
                'the list'
            )


def with_local_backend(visualizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dict of a visualizer that writes ``scalars.json`` too, from which the curves are drawn."""
    backends = list(visualizer.get('vis_backends') or ())
    is_there = any(
        has_type(backend, 'LocalVisBackend') or isinstance(backend, LocalVisBackend)
        for backend in backends
    )
    return {
        **visualizer,
        'vis_backends': backends if is_there else [dict(type='LocalVisBackend'), *backends],
    }
