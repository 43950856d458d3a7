"""Batch norm over one value per channel, which has no variance: PyTorch refuses it in the middle of a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from swinseg.datasets.sampling import ResumableSampler
from swinseg.errors import ConfigError
from swinseg.models.ops.sync_batch_norm import SyncBatchNorm

_ONE_VALUE = 'Expected more than 1 value per channel when training'
_REASON = 'batch norm needs two images in each forward pass, for the coarsest pooling leaves one value of each'
_OTHER_NORM = "norm_cfg=dict(type='GN', num_groups=32) in the heads"


@contextlib.contextmanager
def batch_norm_advice() -> Iterator[None]:
    """Say what to set where batch norm meets a single image in the block.

    Raises:
        ConfigError: in place of PyTorch's error.
    """
    try:
        yield
    except ValueError as error:
        if _ONE_VALUE not in str(error):
            raise
        raise ConfigError(
            f'{_REASON}: set train_dataloader.batch_size=2, or {_OTHER_NORM}'
        ) from error


def check_batches(loader: Any, model: nn.Module) -> None:
    """Look at the sizes of a training's batches before the first of them.

    Args:
        loader: of the training set.
        model: that is trained.

    Raises:
        ConfigError: there is no batch, or one has a single image and the model normalizes the mean of an image
            over the batch.
    """
    if len(loader) == 0 and not _is_endless(loader.sampler):
        raise ConfigError(
            f'the training set has {len(loader.dataset)} images, too few for one batch of '
            f'{loader.batch_size} in each process: lower train_dataloader.batch_size, or set '
            'train_dataloader.drop_last=False'
        )
    smallest = _smallest_batch(loader)
    layer = _normalized_mean(model) if smallest == 1 else None
    if layer is None:
        return
    if loader.batch_size == 1:
        raise ConfigError(
            f'{_REASON} ({layer}): set train_dataloader.batch_size=2, or {_OTHER_NORM}'
        )
    raise ConfigError(
        f'the last batch of a pass over the training set has one image ({len(loader.dataset)} images in batches '
        f'of {loader.batch_size}), but {_REASON} ({layer}): set train_dataloader.drop_last=True, another '
        f'train_dataloader.batch_size, or {_OTHER_NORM}'
    )


def _smallest_batch(loader: Any) -> int | None:
    """Return the images of the smallest batch of a process, None where only the batches themselves tell."""
    size, sampler = loader.batch_size, loader.sampler
    if size is None:
        return None
    is_whole = loader.drop_last or _is_endless(sampler)
    return size if is_whole else len(sampler) % size or size


def _is_endless(sampler: Any) -> bool:
    """Whether it gives an image again and again, so that a batch may be larger than the training set."""
    return isinstance(sampler, InfiniteSampler) or (
        isinstance(sampler, ResumableSampler) and not sampler.by_epoch
    )


def _normalized_mean(model: nn.Module) -> str | None:
    """Return the name of a layer that pools an image to one value and normalizes it in this process."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Sequential):
            continue
        pooled = False
        for child in module:
            pooled |= isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1))
            if pooled and any(_is_of_this_process(layer) for layer in child.modules()):
                return name
    return None


def _is_of_this_process(layer: nn.Module) -> bool:
    is_shared = isinstance(layer, (SyncBatchNorm, nn.SyncBatchNorm)) and get_world_size() > 1
    return isinstance(layer, _BatchNorm) and not is_shared
