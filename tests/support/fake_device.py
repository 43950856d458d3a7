"""Tensors that hold their data on the CPU and say that they are on an accelerator.

What a device would do is done with real values: an operation on tensors of two devices raises, and each step in
which a host would wait for the device is counted with the function of swinseg that asked for it. What is not shown
is what only a device's own kernels do: their rounding, and the types that they lack.

    with FakeDevice('cuda:0') as device:
        model = device.move(model)
        logits = model(device.put(image))
    device.waits  # Counter({('swinseg/evaluation/confusion.py:_count_any', 'boolean index'): 2})
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

import swinseg
from swinseg.models.swin import window_geometry

_PACKAGE = Path(swinseg.__file__).parent
# Operations whose result has a size, or is a number, that only the values tell.
_VALUES_ARE_READ = {
    'aten._local_scalar_dense.default': 'item',
    'aten.nonzero.default': 'nonzero',
    'aten.masked_select.default': 'masked_select',
    'aten.bincount.default': 'bincount',
    'aten._unique2.default': 'unique',
    'aten.equal.default': 'equal',
    'aten.is_nonzero.default': 'if',
}
_INDEXED = (
    'aten.index.Tensor',
    'aten._unsafe_index.Tensor',
    'aten.index_put.default',
    'aten.index_put_.default',
    'aten._index_put_impl_.default',
)
# They give back what they were given, or a view of it: no work for the device.
_NO_KERNEL = (
    'view', '_unsafe_view', '_reshape_alias', 'as_strided', 'permute', 'transpose', 't', 'expand', 'slice',
    'select', 'split', 'split_with_sizes', 'unbind', 'unsqueeze', 'squeeze', 'detach', 'alias', 'empty',
    'empty_like', 'empty_strided', 'new_empty', 'unfold', 'lift_fresh',
)  # fmt: skip


class OnDevice(Tensor):
    """A tensor whose data is on the CPU, as :class:`FakeDevice` makes it.

    Attributes:
        held: the data.
        owner: the device that it says it is on.
    """

    held: Tensor
    owner: FakeDevice

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor, owner: FakeDevice) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device='meta',
        )  # fmt: skip
        made.held, made.owner = held.detach(), owner
        return made

    @property
    def device(self) -> torch.device:
        return self.owner.device

    @property
    def is_cuda(self) -> bool:
        return self.owner.device.type == 'cuda'

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def is_meta(self) -> bool:
        return False

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    def __array__(self, *_: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        self.owner.wait('tolist')
        return self.held.tolist()

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        self.owner.wait('copy to the host')
        return self.held.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = OnDevice(self.held.clone(), self.owner)
        if isinstance(self, nn.Parameter):
            copied = nn.Parameter(copied, requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    def pin_memory(self, *_: Any, **__: Any) -> Tensor:
        raise RuntimeError(f'cannot pin a tensor of {self.device}')

    def __repr__(self) -> str:
        return f'OnDevice({tuple(self.shape)}, {self.dtype}, {self.device})'

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        given = next(each for each in tree_leaves((args, kwargs)) if isinstance(each, cls))
        return given.owner.compute(function, args, dict(kwargs or {}))


class FakeDevice(TorchFunctionMode):
    """An accelerator that is not there; within the block, tensors can be put on it.

    Args:
        name: ``'cuda:0'`` or ``'mps'``, which refuses float64.

    Attributes:
        device: that tensors name.
        waits: how often the host waits, by (``file:function`` of swinseg, reason).
        copies: how often something is copied to the device without a wait, by the same.
        kernels: number of operations that a device would be given.
    """

    def __init__(self, name: str = 'cuda:0') -> None:
        super().__init__()
        self.device = torch.device(name)
        self.waits: Counter[tuple[str, str]] = Counter()
        self.copies: Counter[tuple[str, str]] = Counter()
        self.kernels = 0
        self._stack = ExitStack()

    def __enter__(self) -> FakeDevice:
        # These tensors are of a class of their own, which a compiler's stand-ins are, too; they are to be cached.
        self._stack.enter_context(
            mock.patch.object(window_geometry, '_is_recorded', return_value=False)
        )
        # nn.Module.to would write the data of another dtype into a parameter of this class.
        self._overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.__future__.set_overwrite_module_params_on_conversion(self._overwrites)
        self._stack.close()

    def put(self, x: Tensor) -> OnDevice:
        """Return a tensor of the CPU as one of the device, uncounted."""
        return self._wrap(x.detach().clone())

    def move(self, model: nn.Module) -> nn.Module:
        """Put parameters and buffers on the device, in place, uncounted."""
        moved: dict[int, nn.Parameter] = {}
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module._device = self.device  # as its own .to() does
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    new = nn.Parameter(self.put(parameter), requires_grad=parameter.requires_grad)
                    module._parameters[name] = moved.setdefault(id(parameter), new)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = self.put(buffer)
        return model

    def inside(self, function: Callable) -> Callable:
        """Return a function that computes on the device where PyTorch calls it in the middle of another."""

        def call(*args: Any) -> Any:
            TorchFunctionMode.__enter__(self)
            try:
                return function(*args)
            finally:
                TorchFunctionMode.__exit__(self, None, None, None)

        return call

    def reset(self) -> None:
        """Count from nothing again."""
        self.waits.clear()
        self.copies.clear()
        self.kernels = 0

    def wait(self, reason: str) -> None:
        """Count a step in which the host waits."""
        self.waits[_asking(), reason] += 1

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, '__name__', '')
        if name == '__deepcopy__' and isinstance(args[0], OnDevice):
            return OnDevice.__deepcopy__(*args)
        if name == 'to' and args and isinstance(args[0], Tensor):
            return self._to(function, args, kwargs)
        if name in ('pin_memory', 'is_pinned') and not isinstance(args[0], OnDevice):
            return self._pinned(args[0]) if name == 'pin_memory' else _is_pinned(args[0])
        if kwargs.pop('pin_memory', False):
            return self._pinned(function(*args, **kwargs))
        if name == 'cuda' and args and isinstance(args[0], Tensor):
            return self._to(Tensor.to, (args[0], self.device), {})
        if self._is_here(kwargs.get('device')):
            made = function(*args, **{**kwargs, 'device': 'cpu'})
            if name in ('tensor', 'as_tensor'):
                self.wait('copy from pageable memory')
            else:
                self.kernels += 1
            return self._wrap(made)
        if name == 'where':
            args = self._with_scalars_here(args)
        if name == '__setitem__' and self._is_fill(*args):
            args[0][args[1]].fill_(args[2])
            return None
        return function(*args, **kwargs)

    def _pinned(self, x: Tensor) -> Tensor:
        if self.device.type != 'cuda':
            raise RuntimeError(f'{self.device.type} has no pinned memory')
        if not _is_pinned(x):
            x = x.detach().clone()
            x.pinned_for_test = True  # type: ignore[attr-defined]
        return x

    def _to(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        x, *rest = args
        targets = [*rest, kwargs.get('device')]
        goes_here = any(
            self._is_here(each) or isinstance(each, OnDevice)
            for each in targets
            if not isinstance(each, torch.dtype)
        )
        if not goes_here or isinstance(x, OnDevice):
            if goes_here:
                rest, kwargs = self._without_device(rest, kwargs)
                return function(x, *rest, **kwargs) if rest or kwargs else x
            return function(x, *rest, **kwargs)
        is_asynchronous = bool(kwargs.pop('non_blocking', False)) and _is_pinned(x)
        rest, kwargs = self._without_device(rest, kwargs)
        moved = function(x, *rest, **kwargs) if rest or kwargs else x
        # What PyTorch converts on its way is copied from ordinary memory.
        if is_asynchronous and moved.dtype == x.dtype:
            self.copies[_asking(), 'copy from pinned memory'] += 1
        else:
            self.wait('copy from pageable memory')
        return self._wrap(moved.detach().clone())

    def _without_device(self, rest: list, kwargs: dict[str, Any]) -> tuple[list, dict[str, Any]]:
        kept: list[Any] = []
        for each in rest:
            if isinstance(each, OnDevice):
                kept.append(each.dtype)
            elif not self._is_here(each) and not isinstance(each, bool):
                kept.append(each)
        left_out = ('device', 'non_blocking')
        return kept, {key: value for key, value in kwargs.items() if key not in left_out}

    def _is_here(self, target: Any) -> bool:
        if not isinstance(target, str | torch.device):
            return False
        return torch.device(target).type == self.device.type

    def _is_fill(self, target: Any, index: Any, value: Any) -> bool:
        # PyTorch makes a tensor of the number on the device that it believes the target to be on.
        has_view = not any(isinstance(each, Tensor) for each in tree_leaves(index))
        return isinstance(target, OnDevice) and has_view and isinstance(value, int | float)

    def _with_scalars_here(self, args: tuple) -> tuple:
        # torch.where makes tensors of numbers on the device that it believes its others to be on.
        values = [each for each in args[1:] if isinstance(each, OnDevice)]
        if len(args) != 3 or not any(isinstance(each, OnDevice) for each in args):
            return args
        dtype = values[0].dtype if values else None
        return tuple(
            self._wrap(torch.tensor(each, dtype=dtype)) if isinstance(each, int | float) else each
            for each in args
        )

    def compute(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Do an operation of which at least one tensor is on the device."""
        name = str(function)
        if name.startswith('aten._fused_sdp_choice'):
            return 0  # the plain kernel
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        target = kwargs.get('device')
        leaves = target is not None and torch.device(target).type == 'cpu'
        if target is not None and not leaves:
            kwargs['device'] = torch.device('cpu')
        if name in _VALUES_ARE_READ:
            self.wait(_VALUES_ARE_READ[name])
        elif name == 'aten._to_copy.default' and leaves:
            self.wait('copy to the host')
        elif name == 'aten.copy_.default':
            target, _, is_asynchronous = (*args, False)[:3]
            if is_asynchronous and _is_pinned(target):
                self.copies[_asking(), 'copy to pinned memory'] += 1
            elif any(not isinstance(each, OnDevice) and each.dim() for each in tensors):
                self.wait('copy between devices')
        elif name in _INDEXED:
            self._check_index(name, args)
        else:
            self._check_devices(name, tensors)
        if function.overloadpacket.__name__ not in _NO_KERNEL:
            self.kernels += 1
        held = {id(each.held): each for each in tensors if isinstance(each, OnDevice)}
        with torch.no_grad():
            found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
        if leaves:
            return found
        return tree_map(lambda each: self._found(each, held), found)

    def _found(self, each: Any, held: dict[int, OnDevice]) -> Any:
        if not isinstance(each, Tensor):
            return each
        return held[id(each)] if id(each) in held else self._wrap(each)

    def _check_devices(self, name: str, tensors: list[Tensor]) -> None:
        # A number that is a tensor of no axis may come from the CPU.
        elsewhere = [each for each in tensors if not isinstance(each, OnDevice) and each.dim()]
        if elsewhere:
            shapes = [tuple(each.shape) for each in elsewhere]
            raise RuntimeError(
                f'Expected all tensors to be on the same device, but {name} got {self.device} and cpu {shapes}'
            )

    def _check_index(self, name: str, args: tuple) -> None:
        indices = [each for each in args[1] if each is not None]
        self._check_devices(name, [args[0], *args[2:3]] if len(args) > 2 else [args[0]])
        for index in indices:
            if not isinstance(index, OnDevice):
                self.wait('copy of an index')
            elif index.dtype in (torch.bool, torch.uint8):
                self.wait('boolean index')

    def _wrap(self, x: Tensor) -> OnDevice:
        if self.device.type == 'mps' and x.dtype in (torch.float64, torch.complex128):
            raise TypeError(
                'Cannot convert a MPS Tensor to float64 dtype as the MPS framework does not support float64'
            )
        return OnDevice(x, self)


def _held(each: Any) -> Any:
    return each.held if isinstance(each, OnDevice) else each


def _is_pinned(x: Tensor) -> bool:
    return bool(getattr(x, 'pinned_for_test', False))


def _asking() -> str:
    """Return ``file:function`` of the innermost frame of swinseg that asks for a copy and does not make it."""
    frames = (place for place in _frames() if not place.startswith('swinseg/transfers.py'))
    return next((place for place in frames if place.startswith('swinseg/')), 'elsewhere')


def _frames() -> Iterator[str]:
    frame = sys._getframe(1)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if _PACKAGE in file.parents:
            yield f'swinseg/{file.relative_to(_PACKAGE).as_posix()}:{frame.f_code.co_name}'
        frame = frame.f_back
