"""Wrapping a model for training by several processes: data parallel or fully sharded (FSDP)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn

from swinseg.engine.distributed.fsdp import FSDPModel, mean_over_processes
from swinseg.errors import ConfigError
from swinseg.models.ops.sync_batch_norm import convert_sync_batch_norm
from swinseg.type_names import type_name

DATA_PARALLEL, SHARDED = 'MMDistributedDataParallel', 'MMFullyShardedDataParallel'


WRAPPERS = (DATA_PARALLEL, SHARDED)
"""Values of ``model_wrapper_cfg.type``, by mmengine's names."""


# PyTorch says so in the step after one that left a gradient out.
_UNFINISHED = 'Expected to have finished reduction in the prior iteration'


class _DataParallel(MMDistributedDataParallel):
    """mmengine's wrapper, which logs the losses of all processes and not those of the first one's images."""

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        try:
            return mean_over_processes(super().train_step(data, optim_wrapper))
        except RuntimeError as error:
            if _UNFINISHED not in str(error):
                raise
            raise ConfigError(self._unused_parameters(str(error))) from error

    def _unused_parameters(self, message: str) -> str:
        """Name the parameters that PyTorch's message gives the numbers of."""
        trained = [name for name, weight in self.module.named_parameters() if weight.requires_grad]
        found = re.search(r'did not receive grad for rank \d+: ([\d ]+)', message)
        numbers = [int(number) for number in found[1].split()] if found else []
        names = [trained[number] for number in numbers if number < len(trained)]
        shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
        return (
            f'the loss does not depend on all weights that are trained ({shown or "PyTorch names none"}), and '
            'several processes wait for the gradient of each: set find_unused_parameters=True, or take those '
            'layers out of the model or freeze them'
        )


def wrap(model: nn.Module, cfg: Any) -> nn.Module:
    """Wrap a model for training by several processes.

    Batch normalization takes the statistics of all processes, unless the config says ``sync_bn=None``.

    Args:
        model: on the device that it trains on; it becomes part of the result.
        cfg: the config: ``sync_bn``, ``find_unused_parameters``, and ``model_wrapper_cfg``: a ``type``, one of
            ``WRAPPERS``, and for the first more options of ``torch.nn.parallel.DistributedDataParallel``.

    Returns:
        With the first type a model that each process holds whole; with the second one that is to be divided with
        :meth:`swinseg.engine.distributed.fsdp.FSDPModel.shard` when its weights are loaded.

    Raises:
        ConfigError: ``model_wrapper_cfg`` names another wrapper or an option that it does not have.
    """
    options = dict(cfg.get('model_wrapper_cfg') or {})
    kind = type_name(options.pop('type', DATA_PARALLEL))
    if kind not in WRAPPERS:
        raise ConfigError(
            f'model_wrapper_cfg.type={kind!r} is not supported: take {DATA_PARALLEL!r}, in which each process '
            f'holds the whole model, or {SHARDED!r}, in which it holds a shard'
        )
    if kind == SHARDED:
        _check_sharded(options, cfg.get('optim_wrapper') or {})
    device = next(model.parameters()).device
    if cfg.get('sync_bn', 'torch') is not None:
        model = convert_sync_batch_norm(model, device)
    if kind == SHARDED:
        return FSDPModel(model)
    options.setdefault('broadcast_buffers', False)
    options.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    return _DataParallel(
        model, device_ids=[device.index] if device.type == 'cuda' else None, **options
    )


def _check_sharded(options: Mapping[str, Any], optim_wrapper: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(
            f'model_wrapper_cfg.{next(iter(options))} is no option of {SHARDED!r} here: it takes none, and shards '
            "with PyTorch's fully_shard"
        )
    # Its loss scaler would look for overflows in the share of each process alone.
    if optim_wrapper.get('type') == 'AmpOptimWrapper' and optim_wrapper.get('dtype') != 'bfloat16':
        raise ConfigError(
            f'{SHARDED!r} trains in float32 or bfloat16, and --amp takes float16 on a GPU: set '
            "optim_wrapper.type='AmpOptimWrapper' and optim_wrapper.dtype='bfloat16' instead of --amp"
        )


class CommonBuffersHook(Hook):
    """Validate with the buffers of the main process, which are those of the checkpoints.

    With ``sync_bn=None`` each process has counted running statistics of its own.
    """

    def before_val(self, runner: Any) -> None:
        """Send them to the other processes."""
        for buffer in runner.model.buffers():
            broadcast(buffer)
