"""Repairs of mmsegmentation 1.2.2 where it does not take what a model, a config or a head may give it.

The repairs for :mod:`swinseg.compat`, which applies them. Each replaces one function by one that does the same for
what mmseg knows. mmseg is imported when a repair is applied, for it must be repaired before it can be imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

_LOADERS = {'LoadImageFromFile': 'LoadImage', 'LoadAnnotations': 'LoadLabel'}
"""What mmseg's functions look for in a pipeline, and the transforms of this package that stand for it."""


def _replace(module: str, owner: str, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(old)`` in the place of a class's method ``old``."""
    target = getattr(importlib.import_module(module), owner)
    setattr(target, name, make(getattr(target, name)))


def filter_maps_of_any_layout() -> None:
    """Let the dynamic convolution of ``DMHead`` view maps of several images that are channels-last in memory."""

    def make(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda self, x: forward(self, x.contiguous())

    _replace('mmseg.models.decode_heads.dm_head', 'DCM', 'forward', make)


def count_focal_loss_on_a_cpu() -> None:
    """Let ``FocalLoss`` compute on a CPU what it does on a GPU, for labels that are class indices."""

    def make(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def focal_loss(
            self: Any,
            pred: Tensor,
            target: Tensor,
            weight: Tensor | None = None,
            *args: Any,
            ignore_index: int = 255,
            **options: Any,
        ) -> Tensor:
            if not pred.is_cuda and target.dim() < pred.dim():
                counts = target != ignore_index
                target = _one_hot(target.where(counts, 0), pred.shape[1])
                pixels = counts.reshape(-1).to(pred.dtype)
                weight = pixels if weight is None else pixels * weight.reshape(-1)
            return forward(self, pred, target, weight, *args, ignore_index=ignore_index, **options)

        return focal_loss

    _replace('mmseg.models.losses.focal_loss', 'FocalLoss', 'forward', make)


def _one_hot(target: Tensor, channels: int) -> Tensor:
    """Return 0 and 1 for each channel of (B, ...) class indices, (B, channels, ...); one channel is class 1."""
    if channels == 1:
        return (target == 1)[:, None].long()
    return F.one_hot(target, channels).movedim(-1, 1)


def take_hard_pixels_of_any_head() -> None:
    """Let ``OhemCrossEntropy`` be the loss of a plain head, which names weights of pixels and an ignored label."""

    def make(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def ohem_cross_entropy(
            self: Any,
            score: Tensor,
            target: Tensor,
            weight: Tensor | None = None,
            ignore_index: int | None = None,
        ) -> Tensor:
            counts = target != (self.ignore_label if ignore_index is None else ignore_index)
            if weight is not None:
                counts = counts & (weight.reshape(target.shape) > 0)
            return forward(self, score, target.where(counts, self.ignore_label))

        return ohem_cross_entropy

    _replace('mmseg.models.losses.ohem_cross_entropy_loss', 'OhemCrossEntropy', 'forward', make)


def keep_scores_for_views() -> None:
    """Have a ``SwinSegmentor`` keep its scores while ``SegTTAModel`` asks it for each view."""

    def make(test_step: Callable[..., Any]) -> Callable[..., Any]:
        def test_step_with_scores(self: Any, data: Any) -> Any:
            module = self.module
            kept = getattr(module, 'keep_scores', None)
            if kept is None:
                return test_step(self, data)
            module.keep_scores = True
            try:
                return test_step(self, data)
            finally:
                module.keep_scores = kept

        return test_step_with_scores

    _replace('mmseg.models.segmentors.seg_tta', 'SegTTAModel', 'test_step', make)


def know_our_loaders() -> None:
    """Let ``inference_model`` and ``MMSegInferencer`` find the loading steps of this package in a pipeline."""
    inference: Any = importlib.import_module('mmseg.apis.inference')
    prepare = inference._preprare_data

    def prepared(imgs: Any, model: Any) -> Any:
        steps = model.cfg.test_pipeline
        model.cfg.test_pipeline = [
            step for step in steps if _bare_name(step) != _LOADERS['LoadAnnotations']
        ]
        return prepare(imgs, model)

    for name in ('mmseg.apis.inference', 'mmseg.apis.utils'):
        vars(importlib.import_module(name))['_preprare_data'] = prepared

    def make(index_of: Callable[..., int]) -> Callable[..., int]:
        def index_of_either(self: Any, pipeline_cfg: Any, name: str) -> int:
            ours = [_bare_name(step) for step in pipeline_cfg]
            if _LOADERS.get(name) in ours:
                return ours.index(_LOADERS[name])
            return index_of(self, pipeline_cfg, name)

        return index_of_either

    _replace('mmseg.apis.mmseg_inferencer', 'MMSegInferencer', '_get_transform_idx', make)


def _bare_name(step: Any) -> str:
    kind = step['type']
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]
