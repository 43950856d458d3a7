"""The segmentor whose scores an exported file computes.

Everything around the scores, windows, batches, scales and flips, resizing and labels, is that of
:class:`~swinseg.models.segmentor.SwinSegmentor`, so that a file and the checkpoint that it was made of are used
alike.

Shapes: B images of H x W pixels; C = channels; K = classes (1 score for a binary head); h, w = size of the scores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from numpy.typing import NDArray
from torch import Tensor, nn

from swinseg.errors import ExportedFileError
from swinseg.models.feature_info import FeatureInfo
from swinseg.models.segmentor import SwinSegmentor
from swinseg.runtimes.base import Runtime
from swinseg.runtimes.opening import open_exported
from swinseg_runtime import Metadata

# What the head's settings say about its scores.
_OF_HEAD = ('num_classes', 'out_channels', 'threshold', 'ignore_index', 'align_corners')


@MODELS.register_module()
class ExportedSegmentor(SwinSegmentor):
    """A segmentor without weights, whose scores come from an exported file.

    Its tensors are on the CPU, wherever the file's runtime computes.

    Args:
        source: the path of an exported file, or one that is open already.
        settings: ``model`` of the config that it was made with: ``data_preprocessor``, ``test_cfg``, and of
            ``decode_head`` what says what the scores mean. An image that is normalized in the graph is not
            normalized before.
        keep_scores: as for ``SwinSegmentor``; in the place of the one in ``settings``.
        keep_confidence: likewise.
        device: as for ``swinseg.runtimes.open_exported``, as are the others; for a path.
        threads: of the processor.
        providers: in the place of ``device``.
        dtype: that OpenVINO computes in.

    Raises:
        ExportedFileError: the file cannot be opened, or has another number of classes than ``settings``.
        UserError: as ``SwinSegmentor``.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Runtime,
        settings: Mapping[str, Any],
        *,
        keep_scores: bool = False,
        keep_confidence: bool = False,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        if isinstance(source, str | os.PathLike):
            source = open_exported(
                source, device=device, threads=threads, providers=providers, dtype=dtype
            )
        metadata = source.metadata
        given = settings['decode_head']
        head = {name: given[name] for name in _OF_HEAD if name in given}
        if head.get('num_classes') != len(metadata.classes):
            raise ExportedFileError(
                f'{source.name} predicts {len(metadata.classes)} classes, but the config has num_classes='
                f'{head.get("num_classes")}; use the config that it was made with'
            )
        scores = head.get('out_channels') or head['num_classes']
        super().__init__(
            backbone=dict(type=_RuntimeBackbone, runtime=source, scores=scores),
            decode_head=dict(type=_GivenScores, in_channels=scores, channels=scores, **head),
            data_preprocessor=_preprocessor(settings, metadata),
            test_cfg=settings.get('test_cfg') or dict(mode='whole'),
            keep_scores=keep_scores or settings.get('keep_scores', False),
            keep_confidence=keep_confidence or settings.get('keep_confidence', False),
        )
        self.metadata = metadata
        self.is_on_gpu = source.is_on_gpu

    @property
    def input_size(self) -> tuple[int, int] | None:
        """H, W of the only images that the file takes, one at a time; None where it takes any."""
        return self.metadata.size


def _preprocessor(settings: Mapping[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Return the settings of what stands before the file."""
    if metadata.input == 'image':
        # The pipelines load BGR.
        return dict(type='SegDataPreProcessor', bgr_to_rgb=True)
    return dict(settings['data_preprocessor'])


class _RuntimeBackbone(BaseModule):
    """An exported file in the place of a backbone.

    Args:
        runtime: the open file.
        scores: K.
    """

    def __init__(self, runtime: Runtime, scores: int) -> None:
        super().__init__()
        self.runtime = runtime
        self.in_channels = len(runtime.metadata.mean)
        self.feature_info = [FeatureInfo(scores, runtime.metadata.stride)]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Compute (B, K, h, w) scores of (B, C, H, W) preprocessed images.

        Raises:
            ExportedFileError: the file is for images of another size.
        """
        size = self.runtime.metadata.size
        if size is not None and tuple(x.shape[2:]) != size:
            raise ExportedFileError(
                f'{self.runtime.name} takes images of {size[0]} x {size[1]} pixels (height x width), found '
                f'{x.shape[2]} x {x.shape[3]}; export it for any size, or let windows of its size slide: '
                f"model.test_cfg=dict(mode='slide', crop_size={size}, stride=...) in the config, for images that "
                'are at least as large'
            )
        given = self._input_of(x)
        # A graph of one size is for one image.
        batches = [given] if size is None else np.split(given, len(given))
        scores = np.concatenate(self.runtime.logits(batches))
        return (torch.from_numpy(scores).to(x.device),)

    def _input_of(self, x: Tensor) -> NDArray:
        if self.runtime.metadata.input == 'tensor':
            array: NDArray = x.float().cpu().numpy()
            return array
        # The pipeline's steps may have made fractions of the bytes.
        pixels = x.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8)
        return pixels.contiguous().cpu().numpy()


class _GivenScores(BaseDecodeHead):
    """A head whose only map are the scores."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(in_index=0, init_cfg=None, **settings)
        # It would be a layer with weights.
        self.conv_seg = nn.Identity()

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the (B, K, h, w) scores."""
        scores: Tensor = self._transform_inputs(inputs)
        return scores
