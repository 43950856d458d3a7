"""A trained model in the form that computes fastest: the same logits from folded, packed and fused layers."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models import EncoderDecoder
from mmseg.models.backbones import SwinTransformer
from mmseg.models.decode_heads import LightHamHead
from torch import Tensor, nn

from swinseg.errors import ArchitectureError
from swinseg.models.ops.packed_layers import (
    ActivatedLinear,
    FoldedConv1x1,
    LinearActivation,
    PackedLinear,
    PackedPyramidConv,
    has_packed_linear,
)
from swinseg.models.swin.backbone import SwinBase
from swinseg.models.swin.blocks import MLP, PatchEmbed
from swinseg.models.swin.cosine_attention import CosineWindowAttention
from swinseg.models.upernet import UPerNetHead, is_plain_conv, is_plain_conv3x3
from swinseg.precision import widest_float

# They make masks or matrices of their own in float32.
_FLOAT32_ONLY: dict[type[nn.Module], str] = {
    SwinTransformer: "build the model with backbone=dict(type='SwinBackbone', ...), which takes the same "
    'arguments and weights',
    LightHamHead: 'leave the dtype out',
}

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Kernels:
    """Which form of a layer a model prepared for a processor takes; both sum the same in another order.

    Attributes:
        packed: of linear layers: packed weights.
        winograd: of the pyramid's 3x3 convolutions: Winograd's.
    """

    packed: bool
    winograd: bool


_fixed: Kernels | None = None


def usual_kernels(dtype: torch.dtype) -> Kernels:
    """Return the forms that pay on most processors, which no clock decides: the same in every process."""
    return Kernels(packed=has_packed_linear(dtype), winograd=dtype == torch.float32)


@contextlib.contextmanager
def fixed_kernels(kernels: Kernels | None) -> Iterator[None]:
    """Within the block, have models that are prepared take these; None has this process measure them.

    For processes whose results shall be the same to the last bit.
    """
    global _fixed
    before, _fixed = _fixed, kernels
    try:
        yield
    finally:
        _fixed = before


def prepare_for_inference(
    model: EncoderDecoder, dtype: torch.dtype = torch.float32
) -> EncoderDecoder:
    """Return a copy of a segmentor for inference only.

    Batch norm is folded into the convolutions, their kernels are transformed and reordered once, GELU and ReLU are
    fused, and on a CPU linear layers are packed for oneDNN where that is the faster form on this processor. The
    position bias and the scale of the cosines of ``SwinV2Backbone`` are computed once, and stay in float32.
    The copy cannot be trained, stored, or moved to another device; ``model`` stays as it was, so the way back is
    to use that, or to load the checkpoint again. The auxiliary head is left out.

    Args:
        model: a segmentor with ``SwinBackbone`` or ``SwinV2Backbone`` and ``UPerNetHead``, on its device. Other
            backbones and heads are only converted to the dtype, and a cascade is one.
        dtype: float32 (logits within 1e-4 of the model's), bfloat16, or on a GPU float16. Inputs and logits are
            float32 in any case.

    Raises:
        ArchitectureError: another dtype, or a part of mmseg's that cannot compute in half precision.
    """
    if dtype not in DTYPES:
        raise ArchitectureError(
            f'prepare_for_inference expects dtype torch.float32, torch.bfloat16 or torch.float16, got {dtype}'
        )
    if dtype != torch.float32:
        _check_half_precision(model, dtype)
    if getattr(model, 'auxiliary_head', None) is None:
        prepared = copy.deepcopy(model)
    else:
        # Not copied only to be thrown away.
        memo = {id(model.auxiliary_head): None}
        prepared = copy.deepcopy(model, memo)
    prepared.eval().requires_grad_(False)
    for module in list(prepared.modules()):
        if isinstance(module, UPerNetHead):
            _fold_head(module, dtype)
        elif isinstance(module, CosineWindowAttention):
            module.fold()
    preprocessor = prepared.data_preprocessor
    prepared.to(dtype)
    # Mean and deviation of the pixels stay exact, and so does what comes out of it.
    prepared.data_preprocessor = preprocessor.float()
    for module in prepared.modules():
        if isinstance(module, PatchEmbed):
            # Its output, the tokens, is then laid out as what follows reads it.
            weight = module.projection.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    if next(iter(model.parameters())).device.type == 'cpu':
        for module in list(prepared.modules()):
            if isinstance(module, SwinBase):
                _pack_linear_layers(module, dtype)
    else:
        prepared.to(memory_format=torch.channels_last)
    if dtype != torch.float32:
        prepared.backbone.register_forward_pre_hook(_Cast(dtype))
        _return_float32(prepared)
    return prepared


def _return_float32(model: EncoderDecoder) -> None:
    """Let a segmentor in half precision give logits in float32, also when windows or views are added up."""
    last = getattr(model.decode_head, 'conv_seg', None)
    if last is not None:
        # Not on the head, whose methods mmseg calls, and so none of its hooks.
        last.register_forward_hook(_to_float32)
        return
    # A cascade, and heads that end in other layers.
    for name in ('encode_decode', '_forward'):
        setattr(model, name, _Float32(getattr(model, name)))


def _check_half_precision(model: EncoderDecoder, dtype: torch.dtype) -> None:
    for module in model.modules():
        fix = _FLOAT32_ONLY.get(type(module))
        if fix is not None:
            raise ArchitectureError(
                f"mmseg's {type(module).__name__} computes in float32 only, not in {dtype}; {fix}"
            )


class _Cast:
    """A hook that casts a module's first argument."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return args[0].to(self.dtype), *args[1:]


class _Float32:
    """A method that returns logits, in float32."""

    def __init__(self, method: Callable[..., Tensor]) -> None:
        self.method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.method(*args, **kwargs).float()


def _to_float32(module: nn.Module, args: tuple, logits: Tensor) -> Tensor:
    return logits.float()


def fold_batch_norm(module: ConvModule) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of the convolution with its batch norm, if any, as exact as the device computes."""
    conv = module.conv
    exact = widest_float(conv.weight.device)
    weight = conv.weight.to(exact)
    bias = None if conv.bias is None else conv.bias.to(exact)
    if module.with_norm:
        norm = module.norm
        scale = norm.weight.to(exact) / (norm.running_var.to(exact) + norm.eps).sqrt()
        weight = weight * scale[:, None, None, None]
        mean = norm.running_mean.to(exact)
        bias = norm.bias.to(exact) + ((0 if bias is None else bias) - mean) * scale
    return weight, bias


def can_fold(module: ConvModule) -> bool:
    """Whether :func:`fold_batch_norm` holds for a ``ConvModule``, followed by ReLU or nothing."""
    has_relu = not module.with_activation or isinstance(module.activate, nn.ReLU)
    norm = module.norm if module.with_norm else None
    has_batch_norm = norm is None or (
        isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
        and norm.affine
        and norm.track_running_stats
    )
    return is_plain_conv(module) and has_relu and has_batch_norm


def _fold_head(head: UPerNetHead, dtype: torch.dtype) -> None:
    top, width = head.in_channels[-1], head.channels
    channels = {'bottleneck': [top, *[width] * len(head.psp_modules)]}
    channels['fpn_bottleneck'] = [width] * len(head.in_channels)
    for name, module in list(head.named_modules()):
        if not isinstance(module, ConvModule) or not can_fold(module):
            continue
        weight, bias = fold_batch_norm(module)
        relu = module.with_activation
        folded: nn.Module
        if is_plain_conv3x3(module):
            of_maps = channels.get(name, [weight.shape[1]])
            folded = PackedPyramidConv(
                weight,
                bias,
                channels=of_maps,
                relu=relu,
                dtype=dtype,
                winograd=_takes_winograd(weight.device.type, dtype, len(weight), of_maps[0]),
            )
        elif module.conv.kernel_size == (1, 1):
            folded = FoldedConv1x1(
                weight.to(dtype), None if bias is None else bias.to(dtype), relu=relu
            )
        else:
            continue
        head.set_submodule(name, folded)


def _pack_linear_layers(backbone: SwinBase, dtype: torch.dtype) -> None:
    layer = PackedLinear if _takes_packing(dtype) else ActivatedLinear
    for module in backbone.modules():
        if not isinstance(module, MLP):
            continue
        first = module.layers[0]
        assert isinstance(first, nn.Sequential)
        linear, activation = first[0], first[1]
        if isinstance(activation, nn.GELU) and activation.approximate == 'none':
            first[0] = _packed(layer, linear, 'gelu')
            first[1] = nn.Identity()
    for name, module in list(backbone.named_modules()):
        if type(module) is nn.Linear:
            backbone.set_submodule(name, _packed(layer, module, 'none'))


def _packed(
    layer: type[PackedLinear] | type[ActivatedLinear],
    linear: nn.Module,
    activation: LinearActivation,
) -> nn.Module:
    assert isinstance(linear, nn.Linear)
    bias = None if linear.bias is None else linear.bias.detach()
    return layer(linear.weight.detach(), bias, activation=activation)


def _takes_packing(dtype: torch.dtype) -> bool:
    if _fixed is None:
        return _packing_pays(dtype)
    return _fixed.packed and has_packed_linear(dtype)


def _takes_winograd(
    device_type: str, dtype: torch.dtype, out_channels: int, in_channels: int
) -> bool:
    if _fixed is None or device_type != 'cpu':
        return _winograd_pays(device_type, dtype, out_channels, in_channels)
    return _fixed.winograd


@lru_cache(maxsize=2)
def _packing_pays(dtype: torch.dtype) -> bool:
    """Measure once which form of a linear layer with GELU is the faster one on this processor."""
    with torch.inference_mode(False), torch.no_grad():
        if not has_packed_linear(dtype):
            return False
        x = torch.randn(1024, 384).to(dtype)
        weight, bias = torch.randn(1536, 384).to(dtype), torch.randn(1536).to(dtype)
        packed = PackedLinear(weight, bias, activation='gelu')
        plain = ActivatedLinear(weight, bias, activation='gelu')
        return _is_faster(lambda: packed(x), lambda: plain(x))


@lru_cache(maxsize=16)
def _winograd_pays(
    device_type: str, dtype: torch.dtype, out_channels: int, in_channels: int
) -> bool:
    """Measure once whether a 3x3 convolution by Winograd in float32 beats the direct one in ``dtype``."""
    if device_type != 'cpu':
        return False
    with torch.inference_mode(False), torch.no_grad():
        weight = torch.randn(out_channels, in_channels, 3, 3)
        layers = [
            PackedPyramidConv(
                weight, None, channels=[in_channels], relu=True, dtype=dtype, winograd=winograd
            )
            for winograd in (True, False)
        ]
        # Smaller than the maps where time is spent, and large enough to tell.
        x = torch.randn(1, in_channels, 96, 96).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        return _is_faster(
            lambda: layers[0]([x], align_corners=False), lambda: layers[1]([x], align_corners=False)
        )


def _is_faster(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> bool:
    shortest = [float('inf')] * 2
    for _ in range(3):
        for i, run in enumerate((first, second)):
            start = time.perf_counter()
            run()
            shortest[i] = min(shortest[i], time.perf_counter() - start)
    return shortest[0] < shortest[1]


@cache
def computes_bfloat16(device: str) -> bool:
    """Whether a kind of device, such as ``'cpu'``, has instructions for bfloat16 and need not emulate it."""
    if device == 'cpu':
        has = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return bool(has)
    return device != 'cuda' or torch.cuda.is_bf16_supported(including_emulation=False)
