"""The segmentor: backbone, decode head and auxiliary head under mmseg's ``EncoderDecoder``."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from swinseg.models.blockwise_loss import losses_of
from swinseg.models.label_decision import decide, without_padding_and_flip


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

    def _decode_head_forward_train(
        self, inputs: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        losses = losses_of(self.decode_head, inputs, data_samples, self.train_cfg)
        return add_prefix(losses, 'decode')

    def _auxiliary_head_forward_train(
        self, inputs: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        several = isinstance(self.auxiliary_head, nn.ModuleList)
        losses = {}
        for i, head in enumerate(self.auxiliary_head if several else [self.auxiliary_head]):
            found = losses_of(head, inputs, data_samples, self.train_cfg)
            losses.update(add_prefix(found, f'aux_{i}' if several else 'aux'))
        return losses

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Average the logits of overlapping windows; (B, 3, H, W) to (B, K, H, W)."""
        # mmseg writes each window's shape into the first image's metas.
        return super().slide_inference(inputs, [dict(meta) for meta in batch_img_metas])

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Turn (B, K, h, w) logits into samples with ``pred_sem_seg``, (1, H, W), at the original size.

        The labels are mmseg's. Without ``keep_scores`` they are uint8 where these hold all class
        indices and the head's ``ignore_index``, since mmseg's metric casts the annotation to the type
        of the prediction; otherwise they are int64.
        """
        if self.keep_scores:
            return super().postprocess_result(seg_logits, data_samples)
        is_resized = data_samples is not None
        if data_samples is None:
            data_samples = [SegDataSample() for _ in seg_logits]
        for scores, sample in zip(seg_logits, data_samples, strict=True):
            meta = sample.metainfo
            labels, _ = decide(
                without_padding_and_flip(scores, meta) if is_resized else scores,
                meta['ori_shape'][:2] if is_resized else None,
                align_corners=self.align_corners,
                threshold=self.decode_head.threshold,
            )
            if not 0 <= self.decode_head.ignore_index <= 255:
                labels = labels.to(torch.int64)
            sample.pred_sem_seg = PixelData(data=labels[None])
        return data_samples
