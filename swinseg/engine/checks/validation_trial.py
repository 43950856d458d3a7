"""One batch of the validation before the training, so that what only it reads fails now and not hours later."""

from __future__ import annotations

import contextlib
import copy
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.runner.amp import autocast
from torch import nn

from swinseg.engine.distributed.fsdp import FSDPModel
from swinseg.errors import ConfigError, UserError, shown

# Packages whose complaint about a batch comes from the config; an error of anyone else's code is shown as it is.
_FRAMEWORKS = ('mmengine', 'mmcv', 'mmseg')


def try_validation(runner: Any) -> None:
    """Load, predict and measure the first batch of the validation, and leave no trace of it.

    Afterwards the random generators, the model with its mode, and the metrics are as they were; no file is
    written. Weights that are divided among processes are not gathered for it.

    Args:
        runner: with its loops built, and the weights that the training begins with.

    Raises:
        UserError: the batch cannot be loaded, predicted or measured.
    """
    loop = runner.val_loop
    if loop is None or isinstance(runner.model, FSDPModel) or not len(loop.dataloader.dataset):
        return
    with runner.generators_kept(), _refused_batch(), _mode_kept(runner.model):
        batch = loop.dataloader.load_first()
        runner.model.eval()
        with torch.no_grad(), autocast(enabled=loop.fp16):
            outputs = runner.model.val_step(batch)
        _idle_copy(loop.evaluator).process(data_samples=outputs, data_batch=batch)


def _idle_copy(evaluator: Any) -> Any:
    """Return an evaluator of which nothing remains: its counts are its own, and it writes no predictions."""
    copied = copy.deepcopy(evaluator)
    for metric in copied.metrics:
        if getattr(metric, 'output_dir', None) is not None:
            metric.output_dir = None
    return copied


@contextlib.contextmanager
def _mode_kept(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def _refused_batch() -> Iterator[None]:
    """Say in one sentence what mmseg or mmengine have against the batch.

    Raises:
        ConfigError: in place of their error.
    """
    try:
        yield
    except UserError:
        raise
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        module = _module_of(error)
        if module.split('.')[0] not in _FRAMEWORKS:
            raise
        reason = ' '.join(str(error).split()).rstrip('.') or frame.line or ''
        raise ConfigError(
            f'the first batch of val_dataloader cannot be evaluated: {module} says {type(error).__name__}: '
            f'{shown(reason, most=200)}; correct val_dataloader, val_evaluator or model.test_cfg, or set all of '
            'val_dataloader, val_cfg and val_evaluator to None to train without validation'
        ) from error


def _module_of(error: BaseException) -> str:
    """Return the name of the module in which an error arose."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name: str = frame.f_globals.get('__name__', '')
    return name
