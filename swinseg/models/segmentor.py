"""The segmentor: backbone, decode head and auxiliary head under mmseg's ``EncoderDecoder``."""

from __future__ import annotations

from typing import Any

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor


@MODELS.register_module()
class SwinSegmentor(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` that keeps labels only, and leaves the caller's metas as they were.

    Args:
        *args: as ``EncoderDecoder`` takes them.
        keep_scores: whether predictions carry the (K, H, W) float scores, ``seg_logits``, beside the labels.
            Test-time augmentation needs them; for evaluation they only fill the memory: 150 classes at
            2,048 x 2,048 are 2.5 GB.
        **kwargs: as ``EncoderDecoder`` takes them.
    """

    def __init__(self, *args: Any, keep_scores: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep_scores = keep_scores

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Average the logits of overlapping windows; (B, 3, H, W) to (B, K, H, W)."""
        # mmseg writes each window's shape into the first image's metas.
        return super().slide_inference(inputs, [dict(meta) for meta in batch_img_metas])

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Turn (B, K, H, W) logits into samples with ``pred_sem_seg``, (1, H, W), at the original size."""
        samples = super().postprocess_result(seg_logits, data_samples)
        if not self.keep_scores:
            for sample in samples:
                del sample.seg_logits
        return samples
