"""Fully sharded training (FSDP): each process keeps a shard of every weight, gradient and optimizer moment.

This is stage 3 of ZeRO (Rajbhandari et al. 2020, section 5) by PyTorch's ``fully_shard``: the weights of a block
are gathered just before it is computed, and let go of after; gradients are averaged and divided in one go.

Weights are drawn, loaded and resumed while the network is whole, and checkpoints hold whole tensors. So they
are those of any other training, and a run can go on with another number of processes, sharded or not.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel, BaseModel
from mmengine.optim import OptimWrapper
from mmseg.registry import MODEL_WRAPPERS
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from swinseg.models.feature_info import fsdp_units


def mean_over_processes(logs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average what each process would log of its own images; all must call this with the same names."""
    means = torch.stack([value.detach().float() for value in logs.values()])
    distributed.all_reduce(means)
    means /= distributed.get_world_size()
    return dict(zip(logs, means, strict=True))


@MODEL_WRAPPERS.register_module()
class FSDPModel(nn.Module):
    """A segmentor whose weights are divided among the processes by :meth:`shard`.

    Args:
        module: the segmentor, on the device that it trains on.
    """

    def __init__(self, module: BaseModel) -> None:
        super().__init__()
        self.module = module
        self._averages: Sequence[BaseAveragedModel] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the segmentor."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Do the segmentor's step, and return what it logs as means over the processes."""
        return mean_over_processes(self.module.train_step(data, optim_wrapper))

    def val_step(self, data: Any) -> Any:
        """Predict; see :class:`GatherForValidationHook`."""
        return self.module.val_step(data)

    def shard(
        self,
        optimizers: Iterable[torch.optim.Optimizer],
        averages: Sequence[BaseAveragedModel] = (),
    ) -> None:
        """Keep this process' shard of all that belongs to the weights, and let go of the rest.

        Args:
            optimizers: of the whole weights; their parameters and moments become those of the shards.
            averages: averaged weights, such as those of an ``EMAHook``.
        """
        # Losses are views of what they are cut from; nothing is changed in place on the way to the backward pass.
        warnings.filterwarnings('ignore', message='FSDP2-wrapped module .* returned a view tensor')
        device = next(self.module.parameters()).device
        mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
        shards = _shard(self.module, mesh)
        for optimizer in optimizers:
            _hand_over(optimizer, shards)
        for average in averages:
            _shard(average.module, mesh)
            average.avg_parameters = (
                average.module.state_dict()
                if average.update_buffers
                else dict(average.module.named_parameters())
            )
        self._averages = tuple(averages)

    @contextlib.contextmanager
    def full_state_dict(self, optim_wrapper: Any | None) -> Iterator[None]:
        """Have ``state_dict()`` return whole tensors in this block, in the main process.

        All processes must enter it, and none may train in it.

        Args:
            optim_wrapper: whose state is wanted too, or None.
        """
        owners = [self.module, *self._averages]
        if optim_wrapper is not None:
            owners.append(optim_wrapper)
        wholes = [_whole(owner.state_dict()) for owner in owners]
        for owner, state in zip(owners, wholes, strict=True):
            vars(owner)['state_dict'] = lambda *_, state=state, **__: state
        try:
            yield
        finally:
            for owner in owners:
                del vars(owner)['state_dict']

    def gather(self) -> None:
        """Hold the whole weights, until :meth:`release_full_parameters`: then no prediction needs others."""
        for unit in self._units():
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()

    def release_full_parameters(self) -> None:
        """Hold shards again."""
        for unit in self._units():
            unit.reshard()
            unit.set_reshard_after_forward(True, recurse=False)

    def _units(self) -> list[FSDPModule]:
        return [module for module in self.module.modules() if isinstance(module, FSDPModule)]


class GatherForValidationHook(Hook):
    """Validate with whole weights: processes have other numbers of windows, and would wait for each other."""

    priority = 'VERY_LOW'  # after averaged weights have been put in the places of the trained ones

    def before_val_epoch(self, runner: Any) -> None:
        """Gather the weights."""
        runner.model.gather()


class ShardAfterValidationHook(Hook):
    """Shard again before anything else looks at the weights."""

    priority = 'HIGHEST'

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Let go of the weights."""
        runner.model.release_full_parameters()


def local_part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor that may be sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def units_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a segmentor whose weights are gathered one after the other, inner ones first.

    They are those that its backbone publishes; what lies in none is gathered for the whole step.
    """
    backbone = getattr(model, 'backbone', None)
    return [] if backbone is None else fsdp_units(backbone)


def _shard(module: nn.Module, mesh: DeviceMesh) -> dict[Tensor, nn.Parameter]:
    """Divide a module's parameters, and return the shard that took the place of each."""
    before = dict(module.named_parameters())
    # Always let go after a forward pass: what stays whole would hide the shards from whoever looks at the weights.
    for unit in units_of(module):
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    after = dict(module.named_parameters())
    return {before[name]: after[name] for name in before}


def _hand_over(optimizer: torch.optim.Optimizer, shards: Mapping[Tensor, nn.Parameter]) -> None:
    """Let an optimizer go on with the shards of its parameters and of its moments."""
    for group in optimizer.param_groups:
        group['params'] = [shards[parameter] for parameter in group['params']]
    for parameter in list(optimizer.state):
        shard = shards[parameter]
        optimizer.state[shard] = {
            name: _like(value, shard) if _has_shape_of(value, parameter) else value
            for name, value in optimizer.state.pop(parameter).items()
        }


def _has_shape_of(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _like(value: Tensor, shard: Any) -> Tensor:
    # Every process has the whole value, so that none has to send it.
    return distribute_tensor(value, shard.device_mesh, shard.placements, src_data_rank=None)


def _whole(state: Any) -> Any:
    """Gather the tensors of nested dicts and lists; in other processes than the main one they are dropped."""
    if isinstance(state, DTensor):
        tensor = state.full_tensor()
        return tensor.cpu() if is_main_process() else None
    if isinstance(state, dict):
        wholes = copy.copy(
            state
        )  # of the same kind, for a module's have their versions beside the entries
        wholes.update({key: _whole(value) for key, value in state.items()})
        return wholes
    if isinstance(state, (list, tuple)):
        return type(state)(_whole(value) for value in state)
    return state
