"""The segmentor: backbone, decode head and auxiliary head under mmseg's ``EncoderDecoder``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from mmengine.model import BaseDataPreprocessor
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from swinseg.datasets.labels.dtype import label_tensor_dtype
from swinseg.errors import ArchitectureError
from swinseg.inference import slide, slide_blocks
from swinseg.models.checks.heads import check_part_types
from swinseg.models.checks.segmentor import check_segmentor
from swinseg.models.multi_label import (
    check_multi_label,
    check_thresholds,
    masks_of,
    multi_label_losses,
    predict_level_blocks,
    predict_levels,
)
from swinseg.models.offload import offload_activations
from swinseg.models.ops.blockwise_loss import losses_of
from swinseg.models.postprocess import (
    ScoreRows,
    inside_area,
    predict_label_blocks,
    predict_labels,
    rows_between,
    threshold_of,
    unpadded_area,
    without_padding_and_flip,
)
from swinseg.transfers import gains_by_pinning

Decision = tuple[Tensor, Tensor | None]
"""(H, W) labels, and their confidence or None; with ``multi_label``, (K, H, W) levels and None."""
Result = TypeVar('Result')


@MODELS.register_module()
class SwinSegmentor(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` that keeps labels only, and leaves the caller's metas as they were.

    Args:
        *args: as ``EncoderDecoder`` takes them.
        keep_scores: whether predictions carry the (K, H, W) float scores, ``seg_logits``, beside the labels.
            mmseg's ``SegTTAModel`` needs them; for evaluation they only fill the memory: 150 classes at
            2,048 x 2,048 are 2.5 GB.
        keep_confidence: whether predictions carry the (1, H, W) float probability of the chosen class,
            ``confidence``, beside the labels. With ``keep_scores`` it is left out.
        multi_label: whether a pixel may have several classes, or none: each class has a probability of its own,
            the sigmoid of its score, and predictions are (K, H, W) masks. Losses are those of
            :mod:`swinseg.models.losses.sigmoid`, labels those of a dataset with ``multi_label``.
        thresholds: with ``multi_label``, the probability of each class from which on a pixel has it; None for 0.5.
            A validation with ``MultiLabelMetric(choose_thresholds=True)`` chooses them, and checkpoints keep them
            with the config.
        offload_activations: whether a training step on a CUDA device keeps activations in main memory from the
            forward to the backward pass, which takes longer and less of the GPU's memory.
        **kwargs: as ``EncoderDecoder`` takes them.

    Raises:
        UserError: two parts do not fit each other; see :func:`~swinseg.models.checks.segmentor.check_segmentor`.
    """

    def __init__(
        self,
        *args: Any,
        keep_scores: bool = False,
        keep_confidence: bool = False,
        multi_label: bool = False,
        thresholds: Sequence[float] | None = None,
        offload_activations: bool = False,
        **kwargs: Any,
    ) -> None:
        parts = {**dict(zip(('backbone', 'decode_head'), args, strict=False)), **kwargs}
        check_part_types(
            **{part: parts[part] for part in ('backbone', 'decode_head') if part in parts}
        )
        super().__init__(*args, **kwargs)
        self.keep_scores = keep_scores
        self.keep_confidence = keep_confidence
        self.offload_activations = offload_activations
        self.multi_label = multi_label
        if multi_label:
            check_multi_label(self)
        elif thresholds is not None:
            raise ArchitectureError(
                'thresholds of SwinSegmentor are for multi_label=True; set that, or leave thresholds out'
            )
        self.has_thresholds = thresholds is not None
        self.thresholds: tuple[float, ...] = ()
        if multi_label:
            self.set_thresholds(thresholds)
        check_segmentor(self)
        self.data_preprocessor.register_forward_pre_hook(_copy_without_waiting)

    def set_thresholds(self, thresholds: Sequence[float] | None) -> None:
        """Take other thresholds, with ``multi_label``: K probabilities, or None for 0.5.

        Raises:
            ArchitectureError: they are no such numbers.
        """
        self.thresholds = check_thresholds(thresholds, self.num_classes)
        self.has_thresholds = thresholds is not None

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Return the losses and accuracies of (B, C, H, W) preprocessed images with ``gt_sem_seg``, by name."""
        with offload_activations() if self.offload_activations else nullcontext():
            losses: dict[str, Tensor] = super().loss(inputs, data_samples)
        return losses

    def _decode_head_forward_train(
        self, inputs: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        losses = self._losses_of(self.decode_head, inputs, data_samples)
        return add_prefix(losses, 'decode')

    def _auxiliary_head_forward_train(
        self, inputs: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        several = isinstance(self.auxiliary_head, nn.ModuleList)
        losses = {}
        for i, head in enumerate(self.auxiliary_head if several else [self.auxiliary_head]):
            found = self._losses_of(head, inputs, data_samples)
            losses.update(add_prefix(found, f'aux_{i}' if several else 'aux'))
        return losses

    def _losses_of(
        self, head: Any, inputs: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        if self.multi_label:
            return multi_label_losses(head, inputs, data_samples)
        return losses_of(head, inputs, data_samples, self.train_cfg)

    def val_step(self, data: Mapping[str, Any]) -> list[SegDataSample]:
        """Predict a batch, whose images may be of different sizes."""
        return list(chain.from_iterable(map(super().val_step, _of_one_size(data))))

    def test_step(self, data: Mapping[str, Any]) -> list[SegDataSample]:
        """Predict a batch, whose images may be of different sizes."""
        return list(chain.from_iterable(map(super().test_step, _of_one_size(data))))

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Average the logits of overlapping windows; (B, 3, H, W) to (B, K, H, W).

        ``test_cfg`` has ``crop_size`` and ``stride`` as for mmseg, and may have ``blend`` and
        ``batch_size`` as ``swinseg.inference.slide`` takes them.
        """
        logits: Tensor | None = None
        for i, (image, meta) in enumerate(zip(inputs, batch_img_metas, strict=True)):
            for rows, columns, part in slide_blocks(
                self._on_windows(meta), image, **self._window_options()
            ):
                if logits is None:
                    logits = part.new_empty((len(inputs), len(part), *inputs.shape[2:]))
                logits[i, :, rows, columns] = part
        assert logits is not None
        return logits

    def slide_labels(
        self,
        image: Tensor,
        meta: Mapping[str, Any],
        size: Sequence[int] | None = None,
        *,
        with_confidence: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Choose the class of each pixel by overlapping windows, without the logits of the whole image.

        The labels are those of ``slide_inference``, ``without_padding_and_flip`` and ``predict_labels``. Where the
        image is resized or flipped, whole rows of logits are kept, about as many as two windows have; otherwise
        those that two rows of windows share.

        Args:
            image: (3, h, w) as the preprocessor gives it.
            meta: its metainfo.
            size: H, W of the labels; None for that of the image without padding.
            with_confidence: as in ``predict_labels``.

        Returns:
            As ``predict_labels``: (H, W) labels, and (H, W) confidence or None.
        """
        options: dict[str, Any] = dict(
            threshold=threshold_of(self), with_confidence=with_confidence
        )
        return self._slide(
            image,
            meta,
            size,
            of_scores=partial(predict_labels, align_corners=self.align_corners, **options),
            of_blocks=partial(predict_label_blocks, **options),
        )

    def slide_levels(
        self, image: Tensor, meta: Mapping[str, Any], size: Sequence[int] | None = None
    ) -> Tensor:
        """Return the levels of the probabilities of a segmentor with ``multi_label``, by overlapping windows.

        The arguments are those of :meth:`slide_labels`, and so is the memory, but for the levels themselves.

        Returns:
            (K, H, W) uint8, as :func:`~swinseg.models.multi_label.predict_levels`.
        """
        return self._slide(
            image,
            meta,
            size,
            of_scores=partial(predict_levels, align_corners=self.align_corners),
            of_blocks=predict_level_blocks,
        )

    def _slide(
        self,
        image: Tensor,
        meta: Mapping[str, Any],
        size: Sequence[int] | None,
        *,
        of_scores: Callable[..., Result],
        of_blocks: Callable[..., Result],
    ) -> Result:
        """Make something of the logits of overlapping windows, of whole rows to resize or flip them."""
        inside = unpadded_area(image.shape[1:], meta)
        own_size = tuple(area.stop - area.start for area in inside)
        if meta.get('flip') or (size is not None and tuple(size) != own_size):
            return of_scores(self.slide_rows(image, meta), size)
        blocks = slide_blocks(self._on_windows(meta), image, **self._window_options())
        return of_blocks(inside_area(blocks, inside), own_size)

    def slide_rows(self, image: Tensor, meta: Mapping[str, Any]) -> Tensor | ScoreRows:
        """Average the logits of overlapping windows, to be read once from top to bottom.

        Args:
            image: (3, h, w) as the preprocessor gives it.
            meta: its metainfo.

        Returns:
            (K, h', w') logits without the image's padding and flip. They are computed when they are read,
            save those of an image that is upside down, which come last row first.
        """
        if meta.get('flip') and meta['flip_direction'] == 'vertical':
            return without_padding_and_flip(
                self.slide_inference(image[None], [dict(meta)])[0], meta
            )
        rows, columns = unpadded_area(image.shape[1:], meta)
        bands = rows_between(slide(self._on_windows(meta), image, **self._window_options()), rows)
        is_mirrored = bool(meta.get('flip'))
        inside = (scores[:, :, columns] for scores in bands)
        return ScoreRows(
            (scores.flip(2) if is_mirrored else scores for scores in inside),
            rows.stop - rows.start,
        )

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Turn (B, C, H, W) preprocessed images into samples with ``pred_sem_seg``.

        As ``postprocess_result`` says; in slide mode without ``keep_scores``, no more of the scores than the
        windows need exists at a time.
        """
        if self.keep_scores:
            return super().predict(inputs, data_samples)
        samples = _samples_for(inputs, data_samples)
        decisions = self._decisions(inputs, samples, is_resized=data_samples is not None)
        return self._store(samples, decisions)

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
        samples = _samples_for(seg_logits, data_samples)
        decisions = self._decisions_of(seg_logits, samples, is_resized=data_samples is not None)
        return self._store(samples, decisions)

    def store_prediction(
        self, sample: SegDataSample, labels: Tensor, confidence: Tensor | None
    ) -> None:
        """Put the (H, W) labels and confidence of :func:`predict_labels` into a sample.

        With ``multi_label``, ``labels`` are the (K, H, W) levels of :func:`predict_levels`. Then the sample gets
        the (K, H, W) bool masks as ``pred_sem_seg``, the levels as ``levels``, and the ``thresholds``.
        """
        if self.multi_label:
            sample.pred_sem_seg = PixelData(data=masks_of(labels, self.thresholds))
            sample.levels = PixelData(data=labels)
            sample.set_metainfo({'thresholds': self.thresholds})
            return
        head = self.decode_head
        dtype = label_tensor_dtype(head.num_classes, ignore_index=head.ignore_index)
        sample.pred_sem_seg = PixelData(data=labels.to(dtype)[None])
        if confidence is not None:
            sample.confidence = PixelData(data=confidence[None])

    def _decisions(
        self, inputs: Tensor, samples: Sequence[SegDataSample], *, is_resized: bool
    ) -> Iterator[Decision]:
        """Compute the labels of preprocessed images, at their original sizes where ``is_resized``."""
        if self.test_cfg.get('mode') != 'slide':
            logits = self.inference(inputs, [_meta_for(inputs, sample) for sample in samples])
            yield from self._decisions_of(logits, samples, is_resized=is_resized)
            return
        for image, sample in zip(inputs, samples, strict=True):
            meta = sample.metainfo
            size = meta['ori_shape'][:2] if is_resized else None
            if self.multi_label:
                yield self.slide_levels(image, meta, size), None
                continue
            yield self.slide_labels(image, meta, size, with_confidence=self.keep_confidence)

    def _decisions_of(
        self, logits: Tensor, samples: Sequence[SegDataSample], *, is_resized: bool
    ) -> Iterator[Decision]:
        """Choose classes by (B, K, h, w) logits, at the original sizes where ``is_resized``."""
        for scores, sample in zip(logits, samples, strict=True):
            meta = sample.metainfo
            inside = without_padding_and_flip(scores, meta) if is_resized else scores
            size = meta['ori_shape'][:2] if is_resized else None
            if self.multi_label:
                yield predict_levels(inside, size, align_corners=self.align_corners), None
                continue
            yield predict_labels(
                inside,
                size,
                align_corners=self.align_corners,
                threshold=threshold_of(self),
                with_confidence=self.keep_confidence,
            )

    def _store(
        self, samples: list[SegDataSample], decisions: Iterable[Decision]
    ) -> list[SegDataSample]:
        for sample, (labels, confidence) in zip(samples, decisions, strict=True):
            self.store_prediction(sample, labels, confidence)
        return samples

    def _on_windows(self, meta: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
        return partial(window_logits, self, meta=meta)

    def _window_options(self) -> dict[str, Any]:
        cfg = self.test_cfg
        names = ('blend', 'batch_size')
        return dict(
            window=tuple(cfg['crop_size']),
            stride=tuple(cfg['stride']),
            **{name: cfg[name] for name in names if name in cfg},
        )


def window_logits(model: EncoderDecoder, pixels: Tensor, *, meta: Mapping[str, Any]) -> Tensor:
    """Return the logits of windows at the windows' own size.

    Args:
        model: ours or mmseg's.
        pixels: (B, C, h, w) windows as the preprocessor gives them.
        meta: metainfo of the image that they are cut from; it stays as it is.

    Returns:
        (B, K, h, w).
    """
    # mmseg writes the size of a window into the image's own metas, and a head resizes to it only where it is a
    # torch.Size; to that of the padded image otherwise.
    metas = [dict(meta, img_shape=pixels.shape[2:]) for _ in pixels]
    logits: Tensor = model.encode_decode(pixels, metas)
    return logits


def _copy_without_waiting(preprocessor: BaseDataPreprocessor, _: Any) -> None:
    # Not always: from memory that is not pinned, MPS may copy what has been written over by then.
    if gains_by_pinning(preprocessor.device):
        preprocessor._non_blocking = True


def _samples_for(batch: Tensor, samples: list[SegDataSample] | None) -> list[SegDataSample]:
    return [SegDataSample() for _ in batch] if samples is None else samples


def _meta_for(inputs: Tensor, sample: SegDataSample) -> dict[str, Any]:
    """Return what mmseg's inference reads of an image: its metainfo, or that of one which nothing was done to."""
    size = inputs.shape[2:]
    plain = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0, 0, 0, 0])
    return dict(sample.metainfo) or plain


def _of_one_size(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Divide a batch into those that mmseg's preprocessor can stack: itself, or its images one by one.

    Padded to one size, images would be predicted with a border that they do not have when they come alone.
    """
    images = data['inputs']
    if len({tuple(image.shape) for image in images}) < 2:
        return [data]
    samples = data.get('data_samples') or [None] * len(images)
    return [
        {**data, 'inputs': [image], 'data_samples': None if sample is None else [sample]}
        for image, sample in zip(images, samples, strict=True)
    ]
