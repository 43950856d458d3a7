"""Batches in pinned memory, from which they are copied to a GPU while it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader

from swinseg.transfers import gains_by_pinning


def with_pinning(loader: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return the config of a data loader with ``pin_memory`` as the device wants it, unless it says so itself.

    Args:
        loader: it is not changed.
        device: that the model is on.
    """
    return {'pin_memory': gains_by_pinning(device), **loader}


def pin_samples(loader: DataLoader) -> None:
    """Have a loader that pins memory pin labels, too; PyTorch does not look into mmengine's samples.

    Args:
        loader: its ``collate_fn`` is changed where it pins.
    """
    if loader.pin_memory:
        loader.collate_fn = PinnableCollate(loader.collate_fn)


class PinnableCollate:
    """A ``collate_fn`` whose batches, where they are dicts, pin all that is in them.

    Args:
        collate: from a list of samples to a batch.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        batch = self._collate(samples)
        return PinnableBatch(batch) if type(batch) is dict else batch


class PinnableBatch(dict[str, Any]):
    """A batch as mmengine's ``pseudo_collate`` makes it, which PyTorch's pinning thread asks to pin itself."""

    def pin_memory(self) -> dict[str, Any]:
        """Return the batch with all tensors in pinned memory, those in samples among them."""
        return {key: _pinned(value) for key, value in self.items()}


def _pinned(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.pin_memory()
    if isinstance(data, BaseDataElement):
        copied = data.new()
        copied.set_data({key: _pinned(value) for key, value in data.items()})
        return copied
    if isinstance(data, Mapping):
        return {key: _pinned(value) for key, value in data.items()}
    if type(data) in (list, tuple):
        return type(data)(map(_pinned, data))
    return data
