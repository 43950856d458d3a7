"""Image in, labelled mask out: the face that most users see.

    predictor = swinseg.Predictor.from_checkpoint('work_dirs/upernet_swin_t_mini/best.pth')
    result = predictor('street.jpg')
    result.labels                       # (H, W) uint8 class indices
    result.save('masks')                # label PNG, colour PNG, overlay with a legend

Shapes: H, W = size of the given image; K = number of classes; h, w = size after the test pipeline's
Resize. Images and colours are RGB here; inside, mmseg's pipelines carry BGR.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.models import EncoderDecoder
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from swinseg.checkpoints.loading import checkpoint_meta, load_weights, read_checkpoint
from swinseg.datasets.transforms import LoadImage
from swinseg.engine.config import check_config, load_config
from swinseg.errors import UserError
from swinseg.evaluation.report import pipeline_of
from swinseg.models.label_decision import ScoreRows, decide, resized_rows, without_padding_and_flip
from swinseg.models.prepare import prepare_for_inference
from swinseg.models.segmentor import SwinSegmentor
from swinseg.segmentation import Segmentation
from swinseg.visualization.palette import check_palette, default_palette

ImageLike = str | os.PathLike[str] | NDArray[np.uint8] | Image.Image
Step = Mapping[str, Any]

_LABEL_LOADERS = ('LoadLabel', 'LoadAnnotations')


class PredictorError(UserError):
    """A model cannot be set up from a checkpoint and config, or an image cannot be segmented."""


class Predictor:
    """A built model with everything that stands before and after it; call it with an image.

    Args:
        model: mmseg ``EncoderDecoder`` (ours or stock) with its weights; put into evaluation mode.
        pipeline: the test pipeline's steps; loading of labels is left out.
        classes: K names.
        palette: K RGB colours; None makes some.
        tta_pipeline: the steps of test-time augmentation, a loader and ``TestTimeAug``; None
            without.

    Raises:
        PredictorError: the names do not match the model's number of classes.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        pipeline: Sequence[Step],
        *,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None = None,
        tta_pipeline: Sequence[Step] | None = None,
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
        with DefaultScope.overwrite_default_scope('mmseg'):
            self._load_file, self._transform = _build_pipeline(pipeline)
            self._augment = None if tta_pipeline is None else _build_pipeline(tta_pipeline)[1]

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        config: str | os.PathLike[str] | Config | None = None,
        device: str | torch.device = 'auto',
        *,
        dtype: torch.dtype | str = torch.float32,
    ) -> Predictor:
        """Build the model of a checkpoint, load its weights and prepare it for inference.

        Args:
            path: checkpoint file or address. Those that ``tools/train.py`` writes hold their
                config, class names and palette.
            config: config file; needed for weights that hold none. It replaces the one inside the
                checkpoint.
            device: ``'auto'`` (a CUDA device where there is one, else the CPU) or PyTorch's name of
                one.
            dtype: precision of the model: float32, with the numbers of the trained model to
                rounding, or bfloat16 or float16 (GPU), which are faster and change a small share of
                the labels. A name or PyTorch's dtype.

        Raises:
            CheckpointError: the file cannot be read or does not fit the model.
            ConfigError: the config is wrong.
            PredictorError: config or class names are nowhere to be found, or there is no such
                device.
        """
        target = _device(device)
        precision = _dtype(dtype, target)
        checkpoint = read_checkpoint(path)
        meta = checkpoint_meta(checkpoint)
        cfg = _config(path, config, meta['config'])
        model = _build_model(cfg)
        load_weights(model, checkpoint, name=os.fspath(path), strict=True, logger=None)
        classes, palette = meta['classes'], meta['palette']
        if classes is None:
            classes, palette = _dataset_meta(path, cfg)
        return cls(
            prepare_for_inference(model.to(target), precision),
            pipeline_of(cfg),
            classes=classes,
            palette=palette,
            tta_pipeline=cfg.get('tta_pipeline'),
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def require_tta(self) -> Compose:
        """Return the augmenting transform, or say that there is none.

        Raises:
            PredictorError: the config has no ``tta_pipeline``.
        """
        if self._augment is None:
            raise PredictorError(
                'test-time augmentation needs a tta_pipeline, but the config has none; '
                'add one or leave tta out'
            )
        return self._augment

    @torch.inference_mode()
    def __call__(
        self, image: ImageLike, *, confidence: bool = False, tta: bool = False
    ) -> Segmentation:
        """Segment one image.

        Args:
            image: a path, an (H, W, 3) uint8 RGB array, or a PIL image. It is not changed. EXIF
                orientation of files and PIL images is applied.
            confidence: also return the probability of each label.
            tta: average the probabilities over the scales and flips of the config's
                ``tta_pipeline``.

        Returns:
            The same labels as ``tools/test.py`` evaluates, at the image's own size.

        Raises:
            DataError: the file is missing, empty, no image, truncated or damaged.
            PredictorError: an array or PIL image of another kind, or ``tta`` without a
                ``tta_pipeline``.
        """
        loaded = self._load(image)
        batches = self._preprocess(loaded, tta=tta)
        labels_HW, confidence_HW = self._decide(
            batches, loaded['ori_shape'], averaged=tta, with_confidence=confidence
        )
        return self._postprocess(labels_HW, confidence_HW, loaded)

    def _load(self, image: ImageLike) -> dict[str, Any]:
        """Return what a pipeline's loading step gives: ``img`` (BGR), ``img_shape``,
        ``ori_shape``.
        """
        if isinstance(image, str | os.PathLike):
            return self._load_file({'img_path': os.fspath(image)})
        if not isinstance(self._load_file, LoadImage):
            raise PredictorError(
                f'the config loads images by {type(self._load_file).__name__}, '
                'which needs a file; give a path'
            )
        pixels = _to_bgr(image)
        if self._load_file.color_type.startswith('grayscale'):
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        if self._load_file.to_float32:
            pixels = pixels.astype(np.float32)
        return {'img': pixels, 'img_shape': pixels.shape[:2], 'ori_shape': pixels.shape[:2]}

    def _preprocess(self, loaded: Mapping[str, Any], *, tta: bool) -> list[dict[str, Any]]:
        """Run the pipeline: one packed input, or one for each scale and flip."""
        transform = self.require_tta() if tta else self._transform
        # The transforms write into the dict that they are given.
        packed = transform(dict(loaded))
        inputs, samples = packed['inputs'], packed['data_samples']
        if not isinstance(inputs, list):
            inputs, samples = [inputs], [samples]
        return [
            {'inputs': [pixels], 'data_samples': [sample]}
            for pixels, sample in zip(inputs, samples, strict=True)
        ]

    def _decide(
        self,
        batches: Sequence[dict[str, Any]],
        size: tuple[int, int],
        *,
        averaged: bool,
        with_confidence: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Return labels, and confidence where wanted, (H, W) each, by the only input's logits or by the mean of
        all inputs' probabilities.
        """
        if not averaged and self._slides():
            image, meta = self._to_model(batches[0])
            return self.model.slide_decision(image, meta, size, with_confidence=with_confidence)
        return decide(
            self._mean_probabilities(batches, size) if averaged else self._logits(batches[0]),
            size,
            align_corners=self.model.align_corners,
            threshold=self.model.decode_head.threshold,
            are_probabilities=averaged,
            with_confidence=with_confidence,
        )

    def _mean_probabilities(
        self, batches: Sequence[dict[str, Any]], size: tuple[int, int]
    ) -> Tensor:
        """Return (K, H, W); the inputs' resized scores are added to it a few rows at a time."""
        total: Tensor | None = None
        for batch in batches:
            logits = self._logits(batch)
            if total is None:
                dtype = torch.promote_types(logits.dtype, torch.float32)
                total = torch.zeros((logits.shape[0], *size), dtype=dtype, device=logits.device)
            for rows, block in resized_rows(logits, size, align_corners=self.model.align_corners):
                total[:, rows] += block.softmax(0) if len(block) > 1 else block.sigmoid()
        assert total is not None
        return total.div_(len(batches))

    def _logits(self, batch: dict[str, Any]) -> Tensor | ScoreRows:
        """Return the logits of one packed input, (K, h, w), without its padding and flip."""
        image, meta = self._to_model(batch)
        if self._slides():
            return self.model.slide_rows(image, meta)
        return without_padding_and_flip(self.model.inference(image[None], [dict(meta)])[0], meta)

    def _to_model(self, batch: dict[str, Any]) -> tuple[Tensor, Mapping[str, Any]]:
        """Return the only image of a packed input, normalised on the model's device, and its metainfo."""
        data = self.model.data_preprocessor(batch, False)
        return data['inputs'][0], data['data_samples'][0].metainfo

    def _slides(self) -> bool:
        """Return whether the model is ours and works by windows; mmseg's own returns all scores."""
        return isinstance(self.model, SwinSegmentor) and self.model.test_cfg.get('mode') == 'slide'

    def _postprocess(
        self, labels_HW: Tensor, confidence_HW: Tensor | None, loaded: Mapping[str, Any]
    ) -> Segmentation:
        dtype = np.uint8 if len(self.classes) <= 256 else np.uint16
        return Segmentation(
            labels=labels_HW.cpu().numpy().astype(dtype, copy=False),
            classes=self.classes,
            palette=self.palette,
            image=_to_rgb(loaded['img']),
            confidence=None if confidence_HW is None else confidence_HW.cpu().numpy(),
            name=Path(loaded['img_path']).stem if 'img_path' in loaded else 'image',
        )


def _to_bgr(image: NDArray[np.uint8] | Image.Image) -> NDArray[np.uint8]:
    """Return an RGB array or a PIL image as a new (H, W, 3) uint8 BGR array."""
    if isinstance(image, Image.Image):
        image = _from_pil(image)
    if not isinstance(image, np.ndarray):
        raise PredictorError(
            f'an image must be a path, an array or a PIL image, but is a {type(image).__name__}'
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise PredictorError(
            f'an image array must be (height, width, 3) uint8 RGB, but is {image.shape} {image.dtype}; '
            'convert it, or give a path'
        )
    return np.ascontiguousarray(image[..., ::-1])


def _from_pil(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(('I', 'F')):
        raise PredictorError(
            f'a PIL image must have 8 bits per channel, but its mode is {image.mode}; '
            "scale its values to 0..255 and convert it to 'RGB'"
        )
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except OSError as error:
        raise PredictorError(f'the PIL image cannot be decoded: {error}') from error


def _to_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a loaded image, (H, W) or (H, W, C) BGR, as (H, W, 3) uint8 RGB to draw on."""
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return np.repeat(pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1])


def _build_pipeline(steps: Sequence[Step]) -> tuple[Any, Compose]:
    """Return the loading transform of a pipeline and all that follows it, without loading of
    labels.
    """
    kept = _without_labels(steps)
    if not kept or not str(kept[0]['type']).startswith('Load'):
        raise PredictorError(
            'the config has no test pipeline that begins with loading an image; '
            "add test_pipeline = [dict(type='LoadImage'), ...] and test_dataloader"
        )
    loader = kept[0]
    is_plain = loader['type'] in ('LoadImage', 'LoadImageFromFile')
    if is_plain and loader.get('imdecode_backend', 'cv2') == 'cv2':
        names = ('to_float32', 'color_type', 'backend_args')
        load: Any = LoadImage(**{name: loader[name] for name in names if name in loader})
    else:
        load = TRANSFORMS.build(loader)
    return load, Compose([TRANSFORMS.build(step) for step in kept[1:]])


def _without_labels(steps: Sequence[Step]) -> list[dict[str, Any]]:
    kept = []
    for given in steps:
        if given['type'] in _LABEL_LOADERS:
            continue
        # A copy: TestTimeAug replaces the dicts in its list by transforms.
        step = copy.deepcopy(dict(given))
        if step['type'] == 'TestTimeAug':
            groups = [_without_labels(group) for group in step['transforms']]
            step['transforms'] = [group for group in groups if group]
        kept.append(step)
    return kept


def _device(device: str | torch.device) -> torch.device:
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip('.')
        raise PredictorError(
            f"device '{device}' cannot be used: {reason}; use 'auto', 'cpu' or 'cuda'"
        ) from error
    return target


def _dtype(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    known = [torch.float32, torch.bfloat16, *([torch.float16] if device.type != 'cpu' else [])]
    if found not in known:
        names = ', '.join(str(each).removeprefix('torch.') for each in known)
        raise PredictorError(f'dtype on {device.type} must be one of {names}, not {dtype}')
    return found


def _config(
    path: str | os.PathLike[str],
    given: str | os.PathLike[str] | Config | None,
    inside: Config | None,
) -> Config:
    if isinstance(given, Config):
        return given
    if given is not None:
        return load_config(Path(given))
    if inside is None or 'model' not in inside:
        raise PredictorError(
            f'{os.fspath(path)} has no config inside; give the config file that the weights belong to'
        )
    # Only the model: the data of the training need not be here, nor its hooks.
    check_config(Config({'model': inside['model']}), name=f'the config inside {os.fspath(path)}')
    return inside


def _build_model(cfg: Config) -> EncoderDecoder:
    settings = copy.deepcopy(cfg['model'])
    if not settings.get('data_preprocessor'):
        raise PredictorError(
            "the config's model has no data_preprocessor, so images would not be normalised; "
            'give a config of mmseg 1.x with model.data_preprocessor'
        )
    # The weights that come next replace those that training began with.
    for part in (settings, settings.get('backbone', {})):
        part.pop('pretrained', None)
        part.pop('init_cfg', None)
    with DefaultScope.overwrite_default_scope('mmseg'), warnings.catch_warnings():
        # Advice about losses, which nothing here computes.
        warnings.filterwarnings('ignore', module=r'mmseg\.models\.(losses|builder)')
        return MODELS.build(settings)


def _dataset_meta(
    path: str | os.PathLike[str], cfg: Config
) -> tuple[Sequence[str], Sequence[Sequence[int]] | None]:
    """Return class names and palette of the config's test dataset, whose files need not be
    there.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    meta: Mapping[str, Any] = {}
    if dataset is not None:
        with DefaultScope.overwrite_default_scope('mmseg'):
            meta = DATASETS.build({**dataset.to_dict(), 'pipeline': [], 'lazy_init': True}).metainfo
    if not meta.get('classes'):
        raise PredictorError(
            f'neither {os.fspath(path)} nor its config names the classes; '
            'give a config whose test_dataloader has a dataset with classes'
        )
    return meta['classes'], meta.get('palette')
