"""A built model with everything that stands before and after it.

Shapes: H, W = size of the given image; K = number of classes.
Images and colors are RGB here; inside, mmseg's pipelines carry BGR.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from PIL import Image
from torch import Tensor

from swinseg.checkpoints.loading import read_checkpoint
from swinseg.config.pipelines import pipeline_of
from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.value_range import Setting, ValueRange
from swinseg.errors import PredictorError
from swinseg.hub.folder import read_folder
from swinseg.hub.resolve import resolve
from swinseg.models.compiled import CompileSetting, compile_for_inference
from swinseg.models.multi_label import is_multi_label
from swinseg.models.prepare import prepare_for_inference
from swinseg.models.scoring import normalize_inputs
from swinseg.predictor import building, multi_label, rejection, results
from swinseg.predictor.forward import Input, Prediction, forward
from swinseg.predictor.options import PredictOptions
from swinseg.predictor.pipeline import Pipeline, Step
from swinseg.predictor.pixels import ImageLike, to_rgb
from swinseg.predictor.segmentation import Segmentation
from swinseg.visualization.palette import Palette, palette_or_default

_CPU_BATCH, _GPU_BATCH = 1, 8
# One image each, though they can be iterated over.
_SINGLE = (str, bytes, os.PathLike, np.ndarray, Image.Image, Tensor)


class Predictor:
    """A built model with everything that stands before and after it; call it with an image.

    Args:
        model: mmseg ``EncoderDecoder`` (ours or stock) with its weights; put into evaluation mode.
        pipeline: the test pipeline's steps; loading of labels is left out.
        classes: K names.
        palette: K RGB colors; None makes some.
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
        if is_multi_label(model) and len(classes) > multi_label.MOST_CLASSES:
            raise PredictorError(
                f'the model has multi_label=True and {len(classes)} classes, but bit masks have up to '
                f'{multi_label.MOST_CLASSES}; call its predict, which gives masks'
            )
        self.model = model.eval()
        self.classes = tuple(classes)
        self.palette = palette_or_default(palette, num_classes=len(classes))
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
        compile: CompileSetting = False,
    ) -> Predictor:
        """Build the model of a checkpoint, load its weights and prepare it for inference.

        Args:
            path: checkpoint file or address, or a folder as Hugging Face's hub has them. Those that
                ``swinseg train`` writes hold their config, class names and palette.
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
            compile: whether ``torch.compile`` compiles the network for the sizes of inputs that come again, up to
                four, or a dict of its options. It is meant for GPUs; a processor is faster without.

        Raises:
            CheckpointError: the file cannot be read or does not fit the model.
            ConfigError: the config is wrong, or one inside the checkpoint is not to be trusted; or ``compile`` is
                none of those, or there is no C++ compiler for a processor.
            DataError: ``value_range`` is none.
            PredictorError: config or class names are nowhere to be found, or there is no such
                device.
        """

        def read() -> dict[str, Any]:
            if os.path.isdir(path):
                return read_folder(path, with_config=config is None)
            return read_checkpoint(path)

        return cls._build(
            read,
            path,
            config,
            device,
            dtype=dtype,
            trust=trust,
            value_range=value_range,
            compile=compile,
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        config: str | os.PathLike[str] | Config | None = None,
        device: str | torch.device = 'auto',
        *,
        dtype: torch.dtype | str = torch.float32,
        value_range: Setting | None = None,
        compile: CompileSetting = False,
    ) -> Predictor:
        """Build a model by its name; files that are not here are downloaded.

        Args:
            name: of a published model (``upernet-swin-t-ade20k``; ``swinseg models`` lists them),
                ``hf:owner/repo`` or ``hf:owner/repo@revision``, a folder with a model, an http(s) address, or
                a checkpoint.
            config: as for :meth:`from_checkpoint`; published models and folders of Hugging Face need none.
            device: as for :meth:`from_checkpoint`.
            dtype: as for :meth:`from_checkpoint`.
            value_range: as for :meth:`from_checkpoint`.
            compile: as for :meth:`from_checkpoint`.

        Raises:
            CheckpointError: there is no such model, it cannot be downloaded or read, or it is of another
                architecture.
            ConfigError: the config is wrong, or one that came with the model is not to be trusted.
            DataError: ``value_range`` is none.
            DownloadError: a file of the Hugging Face hub cannot be downloaded.
            OutputError: there is no room for what is downloaded.
            PredictorError: config or class names are nowhere to be found, or there is no such device.
        """

        def read() -> dict[str, Any]:
            return resolve(name).read(with_config=config is None)

        return cls._build(
            read,
            name,
            config,
            device,
            dtype=dtype,
            trust=False,
            value_range=value_range,
            compile=compile,
        )

    @classmethod
    def from_exported(
        cls,
        path: str | os.PathLike[str],
        config: str | os.PathLike[str] | Config | None = None,
        device: str = 'auto',
        *,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
        trust: bool = False,
        value_range: Setting | None = None,
    ) -> Predictor:
        """Open a file that :func:`swinseg.export` wrote, whose predictions are those of its checkpoint.

        Of its graph the scores are taken, whatever its outputs are; all else, such as windows, scales and flips,
        is as with a checkpoint. A graph that resizes images itself resizes its scores twice, to the network's size
        and to the image's, where this resizes them once, so that labels at the rims of regions may differ.

        Args:
            path: ``.onnx``, or ``.xml`` of OpenVINO.
            config: config file; needed for files that hold none. It replaces the one inside the file.
            device: ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where the runtime has one.
            threads: of the processor; None for as many as PyTorch has.
            providers: ONNX Runtime's execution providers or OpenVINO's devices, in the place of ``device``.
            dtype: in which OpenVINO computes, such as ``'bfloat16'``; other files say it themselves.
            trust: as for :meth:`from_checkpoint`, of the config inside the file.
            value_range: as for :meth:`from_checkpoint`.

        Raises:
            ConfigError: the config is wrong, or one inside the file is not to be trusted.
            DataError: ``value_range`` is none.
            ExportedFileError: there is no such file, it is damaged or not swinseg's, or its runtime, the device or
                the precision is not there.
            PredictorError: the config is nowhere to be found.
        """
        loaded = building.load_exported(
            path,
            config,
            trust=trust,
            device=device,
            threads=threads,
            providers=providers,
            dtype=dtype,
        )
        return cls._of(loaded, loaded.model, value_range)

    @classmethod
    def _build(
        cls,
        read: Callable[[], dict[str, Any]],
        path: str | os.PathLike[str],
        config: str | os.PathLike[str] | Config | None,
        device: str | torch.device,
        *,
        dtype: torch.dtype | str,
        trust: bool,
        value_range: Setting | None,
        compile: CompileSetting,
    ) -> Predictor:
        """Build from what ``read`` returns once the device is known to be there; messages name ``path``."""
        target = building.choose_device(device)
        precision = building.choose_dtype(dtype, target)
        loaded = building.load_model(read(), path, config, trust=trust, dtype=precision)
        model = prepare_for_inference(loaded.model.to(target), precision)
        compile_for_inference(model, compile)
        return cls._of(loaded, model, value_range)

    @classmethod
    def _of(
        cls, loaded: building.LoadedModel, model: EncoderDecoder, value_range: Setting | None
    ) -> Predictor:
        return cls(
            model,
            pipeline_of(loaded.cfg),
            classes=loaded.classes,
            palette=loaded.palette,
            tta_pipeline=loaded.cfg.get('tta_pipeline'),
            value_range=value_range,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is; the CPU for exported files, whose tensors are there wherever they are computed."""
        parameter = next(self.model.parameters(), None)
        return torch.device('cpu') if parameter is None else parameter.device

    @property
    def value_range(self) -> ValueRange | None:
        """Which values of images of more than 8 bits become 0 and 255; None where nothing says it."""
        return self._pipeline.value_range

    @property
    def bands(self) -> Choice | None:
        """Names or numbers of the bands that the model is shown, in its order; None where nothing says it."""
        return self._pipeline.bands

    @property
    def keeps_values(self) -> bool:
        """Whether the model gets the values of a file as they are, however many bits they have."""
        return self._pipeline.keeps_values

    @property
    def is_multi_label(self) -> bool:
        """Whether a pixel may have several classes: then results are ``MultiLabelSegmentation``."""
        return is_multi_label(self.model)

    @property
    def default_batch_size(self) -> int:
        """Images that the model gets at once where nothing is said: 1 on a CPU, which gains nothing by two."""
        is_on_gpu = getattr(self.model, 'is_on_gpu', self.device.type != 'cpu')
        return _GPU_BATCH if is_on_gpu else _CPU_BATCH

    def check_options(self, options: PredictOptions) -> None:
        """Make sure that this model can do what is asked for.

        Raises:
            PredictorError: ``tta`` though the config has no ``tta_pipeline``, ``reject_below`` though a class is
                called ``'rejected'``, or it or ``confidence`` though a pixel may have several classes.
        """
        if options.tta:
            self._pipeline.augmentations()
        if self.is_multi_label:
            multi_label.check_options(options)
        if options.reject_below is not None:
            rejection.check_classes(self.classes)

    def legend(self, options: PredictOptions) -> tuple[tuple[str, ...], Palette]:
        """Return the name and the color, uint8 RGB, of each label that predictions with these options have."""
        if options.reject_below is None:
            return self.classes, self.palette
        return rejection.with_rejected(self.classes, self.palette)

    def __call__(self, image: ImageLike, **options: Any) -> Segmentation:
        """Segment one image: ``predictor(image, tta=True)`` is ``predict(image, PredictOptions(tta=True))``."""
        return self.predict(image, PredictOptions(**options))

    def predict(self, image: ImageLike, options: PredictOptions = PredictOptions()) -> Segmentation:
        """Segment one image.

        Args:
            image: a path, an (H, W, 3) RGB array, or (H, W, C) of the model's :attr:`bands`, or a PIL image; it
                is not changed. EXIF orientation of files and PIL images is applied. An array is uint8, or of
                another type where :attr:`value_range` says what its values mean.
            options: how, and what to return beside the labels.

        Returns:
            The same labels as ``swinseg test`` evaluates, at the image's own size.

        Raises:
            DataError: a file is missing, empty, no image, truncated or damaged, or has more than 8 bits of which
                nothing says what they mean.
            PredictorError: an array or PIL image of another kind, or as :meth:`check_options` says.
        """
        return self.predict_loaded(self.load(image, options), options)

    def load(self, image: ImageLike, options: PredictOptions = PredictOptions()) -> Input:
        """Do the first part of :meth:`predict`: read and decode an image, which a thread of its own may do.

        Raises:
            DataError, PredictorError: as for :meth:`predict`.
        """
        self.check_options(options)
        return self._preprocess(image, options)

    @torch.inference_mode()
    def predict_loaded(
        self, given: Input, options: PredictOptions = PredictOptions()
    ) -> Segmentation:
        """Do the second part of :meth:`predict`.

        Args:
            given: of :meth:`load` with the same options; of use once.
            options: as for :meth:`predict`.

        Raises:
            PredictorError: as for :meth:`predict`.
        """
        ((_, prediction),) = self._forward([given], options)
        return self._postprocess(given, prediction, options)

    def stream(
        self, images: Iterable[ImageLike], options: PredictOptions = PredictOptions()
    ) -> Iterator[Segmentation]:
        """Segment images one after the other, neighbors of one size together in the model.

        Images are read when they are needed, and no more of them are held than a batch needs.

        Args:
            images: a list or another iterable of what :meth:`predict` takes.
            options: for all of them.

        Yields:
            The result of each image, in their order.

        Raises:
            DataError, PredictorError: as for :meth:`predict`; those about an image when it is its turn, which
                ends the stream. A single image in the place of several is a ``PredictorError``, too.
        """
        if not isinstance(images, Iterable) or isinstance(images, _SINGLE):
            raise PredictorError(
                f'stream takes a list or another iterable of images, but was given one {type(images).__name__}; '
                'put it into a list, or call predict'
            )
        self.check_options(options)
        return self._stream(images, options)

    @torch.inference_mode()
    def _stream(
        self, images: Iterable[ImageLike], options: PredictOptions
    ) -> Iterator[Segmentation]:
        inputs = self._preprocess_all(images, options)
        for given, prediction in self._forward(inputs, options):
            yield self._postprocess(given, prediction, options)

    def _preprocess(self, image: ImageLike, options: PredictOptions) -> Input:
        """Load an image, and have the pipeline make the model's inputs of it when they are asked for."""
        loaded = self._pipeline.load(image)
        views = self._pipeline.pack_views(loaded, tta=options.tta)
        return Input(loaded, (normalize_inputs(self.model, packed) for packed in views))

    def _preprocess_all(
        self, images: Iterable[ImageLike], options: PredictOptions
    ) -> Iterator[Input]:
        for number, image in enumerate(images, 1):
            try:
                yield self._preprocess(image, options)
            except PredictorError as error:
                raise PredictorError(f'image {number} of the given ones: {error}') from error

    def _forward(
        self, inputs: Iterable[Input], options: PredictOptions
    ) -> Iterator[tuple[Input, Prediction]]:
        batch_size = options.batch_size or self.default_batch_size
        return forward(self.model, inputs, options, batch_size=batch_size)

    def _postprocess(
        self, given: Input, prediction: Prediction, options: PredictOptions
    ) -> Segmentation:
        """Reject what is too uncertain, and put it all into arrays."""
        path = given.loaded.get('img_path')
        image = to_rgb(given.loaded['img'], is_bgr=self.bands is None)
        name = 'image' if path is None else Path(path).stem
        if self.is_multi_label:
            return results.result_of_levels(
                prediction,
                image=image,
                name=name,
                classes=self.classes,
                palette=self.palette,
                thresholds=self.model.thresholds,
            )
        classes, palette = self.legend(options)
        return results.result_of_labels(
            prediction,
            image=image,
            name=name,
            classes=classes,
            palette=palette,
            reject_below=options.reject_below,
        )
