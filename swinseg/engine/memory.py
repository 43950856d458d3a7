"""Memory that training takes, and what to do when it is too much."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from swinseg.engine.distributed.fsdp import local_part
from swinseg.engine.optim.parts import averages_of, optimizers_of
from swinseg.errors import TrainingError, is_out_of_memory


class ActivationMeter:
    """How many bytes the forward pass keeps for the backward pass, counted where autograd keeps them.

    Each storage counts once, weights do not. Works on any device, and leaves all results as they are.

    Args:
        model: its parameters and buffers are not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        tensors = chain(model.parameters(), model.buffers())
        self._known = {local_part(tensor).untyped_storage().data_ptr() for tensor in tensors}
        self._users: Counter[int] = Counter()
        self._kept = 0
        self.peak = 0
        """The largest number of bytes that were kept at a time."""

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Count during the block."""
        # A detached tensor, for an output that its own node keeps would never be freed.
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Kept(self, tensor.detach(), counts=not _is_weight(tensor)),
            lambda kept: kept.tensor,
        ):
            yield

    def add(self, storage: torch.UntypedStorage) -> None:
        """Count one user of a storage."""
        self._users[storage.data_ptr()] += 1
        if self._users[storage.data_ptr()] == 1 and storage.data_ptr() not in self._known:
            self._kept += storage.nbytes()
            self.peak = max(self.peak, self._kept)

    def remove(self, storage: torch.UntypedStorage) -> None:
        """Count one user less."""
        self._users[storage.data_ptr()] -= 1
        if not self._users[storage.data_ptr()] and storage.data_ptr() not in self._known:
            self._kept -= storage.nbytes()


class _Kept:
    """A tensor that autograd keeps; it goes when autograd lets go of it."""

    def __init__(self, meter: ActivationMeter, tensor: Tensor, *, counts: bool) -> None:
        self.tensor = tensor
        self._meter = meter if counts else None
        if self._meter is not None:
            self._meter.add(tensor.untyped_storage())

    def __del__(self) -> None:
        if self._meter is not None:
            self._meter.remove(self.tensor.untyped_storage())


def _is_weight(tensor: Tensor) -> bool:
    """Whether a tensor is a weight or a view of one; a sharded model gathers them where none was before."""
    return isinstance(tensor._base if tensor._is_view() else tensor, nn.Parameter)


def describe_memory(runner: Any, *, activations: int) -> str:
    """Return one line about the memory of a training, after its first step.

    Args:
        runner: with model and optimizer.
        activations: bytes that the forward pass keeps.
    """
    parameters = list(runner.model.parameters())
    trained = (parameter for parameter in parameters if parameter.requires_grad)
    state = (
        value
        for optimizer in optimizers_of(runner.optim_wrapper)
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    )
    averages = chain.from_iterable(average.parameters() for average in averages_of(runner.hooks))
    sizes = {
        'weights': _size(chain(parameters, runner.model.buffers())),
        'gradients': _size(trained),
        'optimizer state': _size(state),
        'averaged weights': _size(averages),
        'activations': activations,
    }
    parts = ', '.join(f'{name} {_mebibytes(size)}' for name, size in sizes.items() if size)
    line = f'memory: {parts}; together {_mebibytes(sum(sizes.values()))} MiB'
    device = parameters[0].device
    if device.type == 'cuda':
        total = torch.cuda.get_device_properties(device).total_memory
        peak = torch.cuda.max_memory_allocated(device)
        line += f'; peak {_mebibytes(peak)} of {_mebibytes(total)} MiB of the GPU'
    return line


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in map(local_part, tensors))


def _mebibytes(size: int) -> str:
    return f'{size / 2**20:,.1f}'


@contextlib.contextmanager
def memory_advice() -> Iterator[None]:
    """Turn an allocation that fails in a training step into what can be done about it.

    Raises:
        TrainingError: the memory did not suffice.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            'the memory does not suffice for the first step: set a smaller train_dataloader.batch_size with '
            "effective_batch='accumulation', --amp, or model.backbone.with_cp=True"
        ) from error
