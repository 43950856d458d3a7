"""A bound on the model that an untrusted config describes: the weights that it came with.

A model that these weights fill has about as many numbers and layers as they have tensors. One that asks for far
more, such as ``depths`` of ten million, is refused while it is being built, before the memory is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from swinseg.errors import PredictorError

# The auxiliary head, which files may lack, and index tables.
_MORE_NUMBERS = 1 << 24
_MORE_MODULES = 1024
# Activations, dropouts and containers hold no weights.
_MODULES_PER_TENSOR = 8


@contextlib.contextmanager
def size_bound(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse a model that is built in the block when it has far more numbers or layers than ``weights``.

    Raises:
        PredictorError: a tensor, all parameters together or the number of modules surpass the bound.
    """
    most_numbers = 2 * sum(value.numel() for value in weights.values()) + _MORE_NUMBERS
    most_modules = _MODULES_PER_TENSOR * len(weights) + _MORE_MODULES
    numbers = modules = 0

    def count_parameter(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers
        numbers += 0 if parameter is None else parameter.numel()
        if numbers > most_numbers:
            raise _too_large(f'more than {most_numbers:,} parameters')

    def count_module(module: nn.Module, name: str, child: nn.Module | None) -> None:
        nonlocal modules
        modules += 1
        if modules > most_modules:
            raise _too_large(f'more than {most_modules:,} layers')

    handles = [
        register_module_parameter_registration_hook(count_parameter),
        register_module_module_registration_hook(count_module),
    ]
    try:
        with _BoundedTensors(most_numbers):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _BoundedTensors(TorchDispatchMode):
    """Computes each operation without memory first (device ``meta``), which tells the size of its result."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        for size in _result_sizes(function, arguments, options):
            if size > self._most:
                raise _too_large(f'a tensor of {size:,} numbers')
        return function(*arguments, **options)


def _result_sizes(function: Any, arguments: Any, options: Mapping[str, Any]) -> list[int]:
    """Return how many numbers the results of an operation have; [] where only computing it tells."""
    sketched, named = tree_map_only(Tensor, _sketch, (arguments, dict(options)))
    if any(argument.name == 'device' for argument in function._schema.arguments):
        named['device'] = torch.device('meta')
    try:
        results = function(*sketched, **named)
    except RuntimeError:
        return []  # It fails again when it is computed, or depends on values.
    found: list[int] = []
    tree_map_only(Tensor, lambda result: found.append(result.numel()), results)
    return found


def _sketch(value: Tensor) -> Tensor:
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device='meta')


def _too_large(what: str) -> PredictorError:
    return PredictorError(
        f'the config that came with the weights asks for {what}, far more than the weights fill; '
        'give the config that they were trained with by --config'
    )
