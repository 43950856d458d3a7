"""How much the logits suffer when a single layer of a graph computes in int8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from swinseg.exporting.graph import Graph
from swinseg.exporting.quantizing.layers import weights_of

_LEVELS = 255


@dataclass(frozen=True)
class Sensitivity:
    """What int8 does to one layer.

    Attributes:
        layer: its name.
        error: squared difference of the logits when no other layer is in int8, as a share of their squares.
        multiply_adds: of the layer, for the images that it was measured on.
    """

    layer: str
    error: float
    multiply_adds: int


@torch.no_grad()
def measure_sensitivities(graph: Graph, inputs: Sequence[Tensor]) -> list[Sensitivity]:
    """Measure each layer that has weights, the one to keep in float first.

    The layers are rounded in PyTorch: weights by a scale for each channel that comes out, what goes in by one
    scale and zero point.

    Args:
        graph: in evaluation mode.
        inputs: some of the calibration's, as the graph takes them.

    Returns:
        All layers; first those that spoil most for the multiply-adds that float costs more.
    """
    names = {weight.data_ptr(): name for name, weight in weights_of(graph).items()}
    expected = [graph(given)[-1] for given in inputs]
    scale = sum(float(logits.square().sum()) for logits in expected)
    found = []
    for layer in names.values():
        error = 0.0
        with _Rounding(names, layer) as rounding:
            for given, logits in zip(inputs, expected, strict=True):
                error += float((graph(given)[-1] - logits).square().sum())
        if rounding.multiply_adds:
            found.append(Sensitivity(layer, error / scale, rounding.multiply_adds))
    return sorted(found, key=lambda each: -each.error / each.multiply_adds)


class _Rounding(TorchFunctionMode):
    """Rounds a layer's weights and inputs to 8 bits where it is called."""

    def __init__(self, names: dict[int, str], layer: str) -> None:
        super().__init__()
        self._names = names
        self._layer = layer
        self.multiply_adds = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (F.linear, F.conv2d) and self._names.get(args[1].data_ptr()) == self._layer:
            x, weight, *rest = args
            args = (_rounded_input(x), _rounded_weight(weight), *rest)
            out = func(*args, **(kwargs or {}))
            self.multiply_adds += out.numel() * weight[0].numel()
            return out
        return func(*args, **(kwargs or {}))


def _rounded_input(x: Tensor) -> Tensor:
    low, high = (float(value) for value in torch.aminmax(x))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, 1e-12) / _LEVELS
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, _LEVELS)


def _rounded_weight(weight: Tensor) -> Tensor:
    scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / (_LEVELS // 2)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -127, 127)
