"""The networks of a segmentor in ``torch.compile``: which parts, with which options, for which sizes of images."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from swinseg.errors import ConfigError
from swinseg.versions import has_cpp_compiler

CompileSetting = bool | Mapping[str, Any] | None
"""Whether to compile, or the options of ``torch.compile`` to do it with."""

_SIZES = 4


def compile_options(setting: CompileSetting, model: nn.Module) -> dict[str, Any] | None:
    """Return the options of ``torch.compile`` that a setting stands for, or None where nothing is compiled.

    Args:
        setting: True, False, None, or a dict of what ``torch.compile`` takes.
        model: what is to be compiled, on its device.

    Raises:
        ConfigError: another setting, an option that ``torch.compile`` does not have, or no C++ compiler for a
            processor.
    """
    if setting is None or setting is False:
        return None
    if setting is not True and not isinstance(setting, Mapping):
        raise ConfigError(
            f'compile must be True, False or a dict of options of torch.compile, found {setting!r}'
        )
    options = {} if setting is True else dict(setting)
    known = set(inspect.signature(torch.compile).parameters) - {'model'}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(
            f'torch.compile has no option {unknown[0]}, which compile has; it takes {", ".join(sorted(known))}'
        )
    on_cpu = next(model.parameters()).device.type == 'cpu'
    if on_cpu and options.get('backend', 'inductor') == 'inductor' and not has_cpp_compiler():
        raise ConfigError(
            'torch.compile needs a C++ compiler for a processor, and finds none; install g++, name one in the '
            'environment variable CXX, or leave --compile out'
        )
    # The plan of the windows follows from the size, and is part of the graph.
    return {'dynamic': False, **options}


def parts_of(model: nn.Module) -> Iterator[nn.Module]:
    """Return the parts of a segmentor that are one graph each: backbone, neck and heads."""
    for name in ('backbone', 'neck', 'decode_head', 'auxiliary_head'):
        part = getattr(model, name, None)
        if isinstance(part, nn.ModuleList):  # several heads, of which each is called
            yield from part
        elif part is not None:
            yield part


def compile_for_inference(model: EncoderDecoder, setting: CompileSetting) -> None:
    """Let backbone, neck and heads be compiled for the sizes of inputs that come again.

    A compiled graph is of one size, and takes a minute or more to make. Windows of scenes and frames of a video
    have one size, which is worth it; the images of a folder may have hundreds. So a size is compiled when it comes
    for the second time, the first four of them, and all others are computed as without this.

    Args:
        model: for inference only; it is changed, and cannot be stored or copied then.
        setting: as for :func:`compile_options`.

    Raises:
        ConfigError: as :func:`compile_options` does.
    """
    options = compile_options(setting, model)
    if options is None:
        return
    for part in parts_of(model):
        part.forward = CompiledForSizes(part.forward, options)


class CompiledForSizes:
    """A function of tensors that is compiled for the sizes of its arguments that come again.

    With ``mode='reduce-overhead'`` or ``'max-autotune'`` a GPU replays a graph of its kernels, which writes its
    results to the same memory each time; they are copied out of it, for windows and images may be kept.

    Args:
        function: to be called, with tensors and sequences of tensors in front.
        options: of ``torch.compile``.
        sizes: how many are compiled.
    """

    def __init__(
        self, function: Callable[..., Any], options: Mapping[str, Any], *, sizes: int = _SIZES
    ) -> None:
        self._function = function
        self._compiled = torch.compile(function, **options)
        self._most = sizes
        self._is_replayed = options.get('mode') in ('reduce-overhead', 'max-autotune')
        self._compiled_sizes: set[tuple] = set()
        self._met: Counter[tuple] = Counter()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the function does."""
        sizes = tuple(_sizes_in(args))
        if sizes not in self._compiled_sizes:
            if len(self._compiled_sizes) == self._most:
                return self._function(*args, **kwargs)
            self._met[sizes] += 1
            if self._met[sizes] < 2:
                return self._function(*args, **kwargs)
            self._compiled_sizes.add(sizes)
        result = self._compiled(*args, **kwargs)
        return tree_map_only(Tensor, Tensor.clone, result) if self._is_replayed else result


def _sizes_in(arguments: Any) -> Iterator[tuple]:
    for each in arguments:
        if isinstance(each, Tensor):
            yield tuple(each.shape)
        elif isinstance(each, list | tuple):
            yield from _sizes_in(each)
