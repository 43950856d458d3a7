"""Stock mmseg models and swinseg's, from one config and with the same weights.

mmseg has no Swin Transformer V2: the peer of one is timm's under mmseg's heads.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

from swinseg.benchmark.timm_backbone import TimmSwinV2
from swinseg.config.shipped import shipped_folder
from swinseg.engine import load_config
from swinseg.errors import BenchmarkError

STOCK, OURS, PREPARED = 'stock mmseg', 'swinseg', 'swinseg, prepared'
"""What the rows are called."""

VARIANTS = ('T', 'S', 'B', 'L')
_STOCK_TYPES = {
    'SwinSegmentor': 'EncoderDecoder',
    'SwinBackbone': 'SwinTransformer',
    'SwinV2Backbone': TimmSwinV2.__name__,
    'UPerNetHead': 'UPerHead',
}
# Makes the random logits about as large as those of a trained model, 10 to 15.
_LOGIT_GAIN = 4.0


@dataclass(frozen=True)
class Pair:
    """Two segmentors of the same function on one device.

    Attributes:
        name: of the variant or the config.
        stock: mmseg's classes.
        ours: swinseg's classes.
    """

    name: str
    stock: Any
    ours: Any


def config_of(variant: str, path: str | None = None) -> Config:
    """Return the config of a variant, or the one at ``path``.

    Raises:
        BenchmarkError: the variant is none.
        ConfigError: the config cannot be read.
    """
    if path is not None:
        return load_config(path)
    if variant not in VARIANTS:
        raise BenchmarkError(
            f'a variant is one of {", ".join(VARIANTS)}, found {variant!r}; try --variants T'
        )
    return load_config(shipped_folder() / f'upernet_swin_{variant.lower()}_ade20k.py')


def names_of(variants: tuple[str, ...], config: str | None) -> tuple[str, ...]:
    """Return what to call the models: the variants, or the name of the config that replaces them.

    Raises:
        BenchmarkError: a variant is none.
        ConfigError: the config cannot be read.
    """
    for variant in variants:
        config_of(variant, config)
    return variants if config is None else (Path(config).stem,)


def build_pair(
    variant: str, config: str | None = None, *, device: str = 'cpu', checkpointing: bool = False
) -> Pair:
    """Build both segmentors with the same random weights, in evaluation mode.

    Dropout and stochastic depth are switched off: both must compute the same numbers.

    Args:
        variant: ``'T'``, ``'S'``, ``'B'`` or ``'L'``; only a name where ``config`` is given.
        config: path of a config.
        device: where the weights are.
        checkpointing: whether the backbones recompute activations in the backward pass.
    """
    settings = copy.deepcopy(config_of(variant, config).model)
    settings.backbone.update(drop_path_rate=0.0, init_cfg=None, with_cp=checkpointing)
    for head in ('decode_head', 'auxiliary_head'):
        settings[head].dropout_ratio = 0.0
    with DefaultScope.overwrite_default_scope('mmseg'):
        ours = MODELS.build(copy.deepcopy(settings))
        stock = MODELS.build(with_stock_types(settings))
    randomize(stock)
    state = stock.state_dict()
    if isinstance(stock.backbone, TimmSwinV2):
        state = {key: value for key, value in state.items() if not key.startswith('backbone.')}
        weights = stock.backbone.state_of_ours()
        state.update((f'backbone.{key}', value) for key, value in weights.items())
    ours.load_state_dict(state, strict=True)
    return Pair(variant, stock.to(device).eval(), ours.to(device).eval())


def with_stock_types(settings: Any) -> Any:
    """Return a model's settings with mmseg's classes in place of swinseg's; the given ones stay as they are."""
    if isinstance(settings, dict):
        return type(settings)({key: with_stock_types(value) for key, value in settings.items()})
    if isinstance(settings, (list, tuple)):
        return type(settings)(with_stock_types(value) for value in settings)
    return _STOCK_TYPES.get(settings, settings) if isinstance(settings, str) else settings


def randomize(model: nn.Module, seed: int = 0) -> None:
    """Draw every parameter and statistic of a segmentor, the same ones for the same seed.

    Matrices keep the size of the activations through any depth, so that differences of the results can be
    judged.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(0.1 * noise + (0.0 if name.endswith('bias') else 1.0))
                continue
            fan_in = parameter[0].numel() if parameter.dim() > 2 else parameter.shape[-1]
            gain = _LOGIT_GAIN if name.endswith('conv_seg.weight') else 1.0
            parameter.copy_(gain * noise / fan_in**0.5)
        for name, buffer in model.named_buffers():
            if name.endswith('running_mean'):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith('running_var'):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))


def draw_image(*size: int, seed: int = 1, device: str = 'cpu') -> torch.Tensor:
    """Return a float32 tensor of normally distributed values, the same ones for the same seed."""
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(device)
