"""A built model with everything that stands before and after it.

Shapes: H, W = size of the given image; K = number of classes.
Images and colours are RGB here; inside, mmseg's pipelines carry BGR.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard, cast, overload

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from PIL import Image
from torch import Tensor

from swinseg.checkpoints.loading import (
    checkpoint_meta,
    load_weights,
    read_checkpoint,
    state_dict_of,
)
from swinseg.config.pipelines import pipeline_of
from swinseg.datasets.label_dtype import label_dtype
from swinseg.datasets.value_range import Setting, ValueRange
from swinseg.models.label_decision import decide, threshold_of
from swinseg.models.prepare import prepare_for_inference
from swinseg.models.scoring import (
    View,
    logits_of,
    mean_probabilities,
    normalised,
    works_by_windows,
)
from swinseg.predictor import building, rejection
from swinseg.predictor.errors import PredictorError
from swinseg.predictor.pipeline import Loaded, Pipeline, Step
from swinseg.predictor.pixels import ImageLike, to_rgb
from swinseg.segmentation import Segmentation
from swinseg.visualization.palette import check_palette, default_palette

_CPU_BATCH, _GPU_BATCH = 1, 8


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for; see :meth:`Predictor.predict`."""

    confidence: bool
    probabilities: bool
    tta: bool
    reject_below: float | None
    batch_size: int


class Predictor:
    """A built model with everything that stands before and after it; call it with an image or several.

    Args:
        model: mmseg ``EncoderDecoder`` (ours or stock) with its weights; put into evaluation mode.
        pipeline: the test pipeline's steps; loading of labels is left out.
        classes: K names.
        palette: K RGB colours; None makes some.
        tta_pipeline: the steps of test-time augmentation, a loader and ``TestTimeAug``; None
            without.
        value_range: which values of images of more than 8 bits become 0 and 255, in the place of what the
            pipeline's ``LoadImage`` says, which takes the same.

    Raises:
        DataError: ``value_range`` is none.
        PredictorError: the names do not match the model's number of classes, or the pipeline has no use for
            ``value_range``.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        pipeline: Sequence[Step],
        *,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None = None,
        tta_pipeline: Sequence[Step] | None = None,
        value_range: Setting | None = None,
    ) -> None:
        if len(classes) != model.num_classes:
            raise PredictorError(
                f'the model predicts {model.num_classes} classes, but {len(classes)} class names are known; '
                'use the config and checkpoint of the same training'
            )
        self.model = model.eval()
        self.classes = tuple(classes)
        self.palette = (
            default_palette(len(classes))
            if palette is None
            else check_palette(palette, num_classes=len(classes))
        )
        self._pipeline = Pipeline(pipeline, tta_pipeline, value_range=value_range)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        config: str | os.PathLike[str] | Config | None = None,
        device: str | torch.device = 'auto',
        *,
        dtype: torch.dtype | str = torch.float32,
        trust: bool = False,
        value_range: Setting | None = None,
    ) -> Predictor:
        """Build the model of a checkpoint, load its weights and prepare it for inference.

        Args:
            path: checkpoint file or address. Those that ``tools/train.py`` writes hold their
                config, class names and palette.
            config: config file; needed for weights that hold none. It replaces the one inside the
                checkpoint.
            device: ``'auto'`` (a CUDA device where there is one, else the CPU) or PyTorch's name of
                one.
            dtype: precision of the model: float32, the default because it gives the numbers of the
                trained model to rounding, or bfloat16 or float16 (GPU), which are faster and change a
                small share of the labels. A name or PyTorch's dtype.
            trust: whether the config inside the checkpoint may name any class and import any module, as a
                config file of one's own may. Without, only classes that are known to be harmless are
                built from it, and no more than the weights fill.
            value_range: which values of images of more than 8 bits become 0 and 255; None for what the config
                says, which is what the model was trained with.

        Raises:
            CheckpointError: the file cannot be read or does not fit the model.
            ConfigError: the config is wrong, or one inside the checkpoint is not to be trusted.
            DataError: ``value_range`` is none.
            PredictorError: config or class names are nowhere to be found, or there is no such
                device.
        """
        target = building.choose_device(device)
        precision = building.choose_dtype(dtype, target)
        checkpoint = read_checkpoint(path)
        meta = checkpoint_meta(checkpoint)
        cfg = building.choose_config(path, config, meta['config'], trust=trust)
        is_trusted = trust or config is not None
        weights = None if is_trusted else state_dict_of(checkpoint)
        model = building.build_model(cfg, weights, dtype=precision)
        load_weights(model, checkpoint, name=os.fspath(path), strict=True, logger=None)
        classes, palette = meta['classes'], meta['palette']
        if classes is None:
            classes, palette = building.dataset_meta(path, cfg)
        return cls(
            prepare_for_inference(model.to(target), precision),
            pipeline_of(cfg),
            classes=classes,
            palette=palette,
            tta_pipeline=cfg.get('tta_pipeline'),
            value_range=value_range,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def value_range(self) -> ValueRange | None:
        """Which values of images of more than 8 bits become 0 and 255; None where nothing says it."""
        return self._pipeline.value_range

    @property
    def keeps_values(self) -> bool:
        """Whether the model gets the values of a file as they are, however many bits they have."""
        return self._pipeline.keeps_values

    @property
    def default_batch_size(self) -> int:
        """Images that the model gets at once where nothing is said: 1 on a CPU, which gains nothing by two."""
        return _CPU_BATCH if self.device.type == 'cpu' else _GPU_BATCH

    def require_tta(self) -> None:
        """Make sure that there are scales and flips to average.

        Raises:
            PredictorError: the config has no ``tta_pipeline``.
        """
        self._pipeline.augmentations()

    # A str, an array and a list of images are iterable alike; the first that fits is meant.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        images: ImageLike,
        *,
        confidence: bool = False,
        probabilities: bool = False,
        tta: bool = False,
        reject_below: float | None = None,
        batch_size: int | None = None,
    ) -> Segmentation: ...
    @overload
    def predict(
        self,
        images: Iterable[ImageLike],
        *,
        confidence: bool = False,
        probabilities: bool = False,
        tta: bool = False,
        reject_below: float | None = None,
        batch_size: int | None = None,
    ) -> list[Segmentation]: ...
    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        confidence: bool = False,
        probabilities: bool = False,
        tta: bool = False,
        reject_below: float | None = None,
        batch_size: int | None = None,
    ) -> Segmentation | list[Segmentation]:
        """Segment one image, or several; ``predictor(images)`` does the same.

        Args:
            images: a path, an (H, W, 3) RGB array, or a PIL image; or a list or other iterable of these. They are
                not changed. EXIF orientation of files and PIL images is applied. Arrays are uint8, or of another
                type where :attr:`value_range` says what its values mean.
            confidence: also return the probability of each label.
            probabilities: also return the probabilities of all classes: 4 x K x H x W bytes for each image.
            tta: average the probabilities over the scales and flips of the config's ``tta_pipeline``.
            reject_below: give pixels whose confidence is lower, in [0, 1], the label K, ``'rejected'``, which
                has a colour and a name as the classes have. The confidence is returned, too.
            batch_size: how many neighbouring images, or views of one image with ``tta``, the model gets at once
                if the pipeline makes them of one size; None for 1 on a CPU and 8 on a GPU. Halved, as often as
                needed, when memory runs out. Windows of slide mode have a batch size of their own in the
                model's ``test_cfg``.

        Returns:
            For one image, the same labels as ``tools/test.py`` evaluates, at the image's own size; for several,
            a list in their order.

        Raises:
            DataError: a file is missing, empty, no image, truncated or damaged, or has more than 8 bits of which
                nothing says what they mean.
            PredictorError: an array or PIL image of another kind, ``tta`` without a ``tta_pipeline``, or an
                argument outside its range.
        """
        results = list(
            self.stream(
                images,
                confidence=confidence,
                probabilities=probabilities,
                tta=tta,
                reject_below=reject_below,
                batch_size=batch_size,
            )
        )
        return results[0] if _is_one(images) else results

    __call__ = predict

    def stream(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        confidence: bool = False,
        probabilities: bool = False,
        tta: bool = False,
        reject_below: float | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Segmentation]:
        """Segment images one after the other: ``predict`` without keeping all results.

        Images are read when they are needed, and no more of them are held than a batch needs.

        Args:
            images: as for :meth:`predict`.
            confidence, probabilities, tta, reject_below, batch_size: as for :meth:`predict`.

        Yields:
            The result of each image, in their order.

        Raises:
            DataError, PredictorError: as for :meth:`predict`; those about an image when it is its turn, which
                ends the stream.
        """
        wanted = self._wanted(
            confidence=confidence,
            probabilities=probabilities,
            tta=tta,
            reject_below=reject_below,
            batch_size=batch_size,
        )
        return self._segment(self._load_all(images), wanted)

    def _wanted(
        self,
        *,
        confidence: bool,
        probabilities: bool,
        tta: bool,
        reject_below: float | None,
        batch_size: int | None,
    ) -> _Wanted:
        if tta:
            self.require_tta()
        rejection.check_threshold(reject_below, self.classes)
        if batch_size is None:
            batch_size = self.default_batch_size
        if batch_size < 1:
            raise PredictorError(f'batch_size must be at least 1, or None, but is {batch_size}')
        return _Wanted(
            confidence=confidence or reject_below is not None,
            probabilities=probabilities,
            tta=tta,
            reject_below=reject_below,
            batch_size=batch_size,
        )

    def _load_all(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Loaded]:
        if _is_one(images):
            yield self._pipeline.load(images)
            return
        for number, image in enumerate(cast(Iterable[ImageLike], images), 1):
            try:
                yield self._pipeline.load(image)
            except PredictorError as error:
                raise PredictorError(f'image {number} of the given ones: {error}') from error

    @torch.inference_mode()
    def _segment(self, images: Iterator[Loaded], wanted: _Wanted) -> Iterator[Segmentation]:
        if wanted.tta:
            yield from (self._by_mean(loaded, wanted) for loaded in images)
        elif works_by_windows(self.model) and not wanted.probabilities:
            yield from (self._by_windows(loaded, wanted) for loaded in images)
        else:
            yield from self._by_batches(images, wanted)

    def _by_mean(self, loaded: Loaded, wanted: _Wanted) -> Segmentation:
        """Segment an image by the mean over its scales and flips."""
        views = (normalised(self.model, packed) for packed in self._pipeline.pack_augmented(loaded))
        probabilities = mean_probabilities(
            self.model, views, loaded['ori_shape'], batch_size=wanted.batch_size
        )
        labels_HW, confidence_HW = decide(
            probabilities,
            threshold=threshold_of(self.model),
            are_probabilities=True,
            with_confidence=wanted.confidence,
        )
        returned = probabilities if wanted.probabilities else None
        return self._segmentation(loaded, labels_HW, confidence_HW, returned, wanted)

    def _by_windows(self, loaded: Loaded, wanted: _Wanted) -> Segmentation:
        """Segment an image without the logits of all of it."""
        view = normalised(self.model, self._pipeline.pack(loaded))
        labels_HW, confidence_HW = self.model.slide_decision(
            view.pixels, view.meta, loaded['ori_shape'], with_confidence=wanted.confidence
        )
        return self._segmentation(loaded, labels_HW, confidence_HW, None, wanted)

    def _by_batches(self, images: Iterator[Loaded], wanted: _Wanted) -> Iterator[Segmentation]:
        """Segment images, those of one input size together."""
        waiting: deque[Loaded] = deque()

        def views() -> Iterator[View]:
            for loaded in images:
                waiting.append(loaded)
                yield normalised(self.model, self._pipeline.pack(loaded))

        for logits in logits_of(self.model, views(), batch_size=wanted.batch_size):
            loaded = waiting.popleft()
            size = loaded['ori_shape']
            # Not on a GPU, where it is the largest tensor by far.
            probabilities = torch.empty((logits.shape[0], *size)) if wanted.probabilities else None
            labels_HW, confidence_HW = decide(
                logits,
                size,
                align_corners=self.model.align_corners,
                threshold=threshold_of(self.model),
                with_confidence=wanted.confidence,
                probabilities=probabilities,
            )
            yield self._segmentation(loaded, labels_HW, confidence_HW, probabilities, wanted)

    def _segmentation(
        self,
        loaded: Loaded,
        labels_HW: Tensor,
        confidence_HW: Tensor | None,
        probabilities: Tensor | None,
        wanted: _Wanted,
    ) -> Segmentation:
        classes, palette = self.classes, self.palette
        if wanted.reject_below is not None:
            assert confidence_HW is not None
            labels_HW = rejection.reject(
                labels_HW, confidence_HW, wanted.reject_below, len(classes)
            )
            classes, palette = rejection.with_rejected(classes, palette)
        if probabilities is not None and len(probabilities) == 1:
            probabilities = torch.cat([1 - probabilities, probabilities])
        return Segmentation(
            labels=labels_HW.cpu().numpy().astype(label_dtype(len(classes)), copy=False),
            classes=classes,
            palette=palette,
            image=to_rgb(loaded['img']),
            confidence=None if confidence_HW is None else confidence_HW.cpu().numpy(),
            probabilities=None if probabilities is None else probabilities.cpu().numpy(),
            name=Path(loaded['img_path']).stem if 'img_path' in loaded else 'image',
        )


def _is_one(images: object) -> TypeGuard[ImageLike]:
    """Return whether something is a single image, or cannot be several."""
    single = (str, bytes, os.PathLike, np.ndarray, Image.Image, Tensor)
    return isinstance(images, single) or not isinstance(images, Iterable)
