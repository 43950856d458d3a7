"""Checking the datasets of a config: what ``swinseg check`` and a training call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from swinseg.datasets import CheckedDataset
from swinseg.datasets.building import build_dataset, plain_messages
from swinseg.datasets.check import (
    DatasetReport,
    Finding,
    Normalization,
    Split,
    check_splits,
    list_split,
)
from swinseg.datasets.check.before_training import check_before_training
from swinseg.datasets.check.findings import pasted
from swinseg.errors import ConfigError, UserError
from swinseg.signals import stop_signals

SPLITS = ('train', 'val')


def check_dataset(
    cfg: Config,
    *,
    splits: Sequence[str] = SPLITS,
    sample: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> DatasetReport:
    """Look at all files of the training and validation sets of a config, and never stop at a bad one.

    Args:
        cfg: as :func:`swinseg.config.loading.load_config` returns it.
        splits: ``'train'``, ``'val'`` or both.
        sample: look at this many pairs of each split, evenly spread, instead of all.
        workers: processes; None takes one for each core.
        progress: draw a bar on stderr, where that is a terminal.

    Raises:
        UserError: ``sample`` or ``workers`` is below 1, the config has none of the splits, or a process that
            reads files was killed.
        Interrupted: a signal came.
    """
    for option, value in (('sample', sample), ('workers', workers)):
        if value is not None and value < 1:
            raise ConfigError(f'{option} must be at least 1, not {value}; leave it out for all')
    name = cfg.filename or 'the config'
    present = [split for split in splits if cfg.get(f'{split}_dataloader') is not None]
    if not present:
        raise ConfigError(
            f'{name} has no {" and no ".join(f"{split}_dataloader" for split in splits)}, so there is '
            'nothing to check'
        )
    listed: list[Split] = []
    findings: list[Finding] = []
    for split in present:
        try:
            with plain_messages():
                listed.append(list_split(split, _build(cfg, f'{split}_dataloader')))
        except UserError as error:
            paste = pasted(getattr(error, 'setting', ''))
            findings.append(Finding('cannot-be-built', 'error', split, str(error), paste=paste))
    with stop_signals(at_once=True):
        return check_splits(
            listed,
            name=name,
            normalization=_normalization(cfg),
            sample=sample,
            workers=workers,
            progress=progress,
            found_before=findings,
        )


def check_sample(cfg: Config, *, splits: Sequence[str] = SPLITS) -> DatasetReport:
    """Look at a sample of the training and validation sets of a config, as a training does before it begins.

    Args:
        cfg: as :func:`swinseg.config.loading.load_config` returns it.
        splits: those that the config lacks are left out.

    Returns:
        What was found, without an error among it.

    Raises:
        UserError: a set cannot be built, or there is an error; its sentence is that of :func:`check_dataset`.
    """
    with plain_messages():
        listed = [
            list_split(split, _build(cfg, f'{split}_dataloader'))
            for split in splits
            if cfg.get(f'{split}_dataloader') is not None
        ]
        return check_before_training(
            listed, name=cfg.filename or 'the config', normalization=_normalization(cfg)
        )


def _build(cfg: Config, loader: str) -> Any:
    """Build a dataset; one of ours without listing its files, so that a bad pair does not end the check."""
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    kind: Any = cfg[loader]['dataset']['type']
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    is_ours = isinstance(kind, type) and issubclass(kind, CheckedDataset)
    return build_dataset(cfg, loader, **({'lazy_init': True} if is_ours else {}))


def _normalization(cfg: Config) -> Normalization | None:
    model = cfg.model.get('module', cfg.model)
    preprocessor = model.get('data_preprocessor') or {}
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    # What is no normalization at all is for the model to refuse.
    if not (_are_numbers(mean) and _are_numbers(std) and len(mean) == len(std) and min(std) > 0):
        return None
    order = 1 if preprocessor.get('bgr_to_rgb', False) else -1
    return Normalization(tuple(mean[::order]), tuple(std[::order]))


def _are_numbers(values: Any) -> TypeGuard[Sequence[float]]:
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )
