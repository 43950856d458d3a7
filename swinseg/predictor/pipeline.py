"""The steps of a config between an image and the model's inputs."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
from mmcv.transforms import TestTimeAug
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS

from swinseg.config.pipelines import LABEL_LOADERS
from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.banded import without_data
from swinseg.datasets.files.images import local_path
from swinseg.datasets.files.several_pictures import several_pictures_of_file
from swinseg.datasets.files.value_range import Setting, ValueRange
from swinseg.datasets.transforms.loading import VALID_PIXELS, LoadImage
from swinseg.errors import DataError, PredictorError
from swinseg.predictor.building import build_errors_in_one_sentence
from swinseg.predictor.pixels import ImageLike, load_as
from swinseg.type_names import has_type, type_name

Step = Mapping[str, Any]
Loaded = dict[str, Any]
"""What a pipeline's loading step gives: ``img`` (BGR), ``img_shape``, ``ori_shape``; ``img_path`` for files."""


class Pipeline:
    """A loader, and what makes an input of a loaded image, or one for each scale and flip.

    Args:
        steps: the test pipeline; loading of labels is left out.
        tta_steps: a loader and ``TestTimeAug``; None without. Images are loaded as ``steps`` say.
        value_range: of the loader, in the place of its own.

    Raises:
        DataError: ``value_range`` is none.
        PredictorError: the steps do not begin with loading an image, or cannot be built, or load by another
            class than takes the ``value_range``.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        tta_steps: Sequence[Step] | None,
        *,
        value_range: Setting | None = None,
    ) -> None:
        with (
            DefaultScope.overwrite_default_scope('mmseg'),
            build_errors_in_one_sentence('test pipeline'),
        ):
            loading, following = _split(steps)
            self._load_file = _loader(loading, value_range)
            self._plain = Compose([TRANSFORMS.build(step) for step in following])
            self._augmented = None if tta_steps is None else _augmentations(_split(tta_steps)[1])

    @property
    def keeps_values(self) -> bool:
        """Whether the model gets the values of a file as they are, however many bits they have."""
        return (
            not isinstance(self._load_file, LoadImage) or self._load_file.color_type == 'unchanged'
        )

    @property
    def value_range(self) -> ValueRange | None:
        """Which values of files of more than 8 bits become 0 and 255."""
        return None if self.keeps_values else self._load_file.value_range

    @property
    def bands(self) -> Choice | None:
        """Bands that the model is shown, in its order; None where it is shown colors, or all that a file has."""
        return self._load_file.bands if isinstance(self._load_file, LoadImage) else None

    def load(self, image: ImageLike) -> Loaded:
        """Load a file, an array or a PIL image; it is not changed.

        A warning says of a file that it holds more pictures than the first, which is loaded.

        Raises:
            DataError: the file is missing, empty, no image, truncated or damaged, or has no data in any pixel.
            PredictorError: an array or PIL image of another kind, or one where the config needs a file.
        """
        if isinstance(image, str | os.PathLike):
            loaded: Loaded = self._load_file({'img_path': os.fspath(image)})
            valid = loaded.get(VALID_PIXELS)
            if valid is not None and not valid.any():
                raise DataError(without_data(image, valid.shape))
            if (sentence := several_pictures_of_file(local_path(os.fspath(image)))) is not None:
                warnings.warn(sentence, stacklevel=2)
            return loaded
        if not isinstance(self._load_file, LoadImage):
            raise PredictorError(
                f'the config loads images by {type(self._load_file).__name__}, '
                'which needs a file; give a path'
            )
        return load_as(self._load_file, image)

    def pack(self, loaded: Loaded) -> dict[str, Any]:
        """Return the packed input, ``inputs`` and ``data_samples``, of a loaded image.

        Raises:
            PredictorError: it is so narrow that nothing of it is left at the config's size.
        """
        try:
            # The transforms write into the dict that they are given.
            return self._plain(dict(loaded))
        except cv2.error as error:
            height, width = loaded['ori_shape']
            raise PredictorError(
                f'an image of {width} x {height} pixels cannot be resized as the config says; '
                'cut it into parts that are less narrow'
            ) from error

    def pack_views(self, loaded: Loaded, *, tta: bool) -> Iterator[dict[str, Any]]:
        """Make the packed inputs when they are asked for: one, or with ``tta`` one for each scale and flip.

        Raises:
            PredictorError: as :meth:`pack` and :meth:`augmentations` say.
        """
        if not tta:
            yield self.pack(loaded)
            return
        for transform in self.augmentations():
            yield transform(copy.deepcopy(loaded))

    def augmentations(self) -> Sequence[Callable[[Loaded], dict[str, Any]]]:
        """Return a transform for each scale and flip.

        Raises:
            PredictorError: the config has no ``tta_pipeline``.
        """
        if self._augmented is None:
            raise PredictorError(
                'test-time augmentation needs a tta_pipeline, but the config has none; '
                'add one or leave tta out'
            )
        return self._augmented


def _split(steps: Sequence[Step]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the loading step of a pipeline and all that follow it, without loading of labels."""
    kept = _without_labels(steps)
    if not kept or not type_name(kept[0]['type']).rpartition('.')[2].startswith('Load'):
        raise PredictorError(
            'the config has no test pipeline that begins with loading an image; '
            "add test_pipeline = [dict(type='LoadImage'), ...] and test_dataloader"
        )
    return kept[0], kept[1:]


def _loader(step: dict[str, Any], value_range: Setting | None) -> Any:
    """Build a loading step: ours, which says what is wrong with a file, where it does the same."""
    is_plain = has_type(step, 'LoadImage', 'LoadImageFromFile')
    if is_plain and step.get('imdecode_backend', 'cv2') == 'cv2':
        names = ('to_float32', 'color_type', 'backend_args', 'value_range', 'bands')
        arguments = {name: step[name] for name in names if name in step}
        if value_range is not None:
            arguments['value_range'] = value_range
        return LoadImage(**arguments)
    if value_range is not None:
        raise PredictorError(
            f'the config loads images by {step["type"]}, which takes no value_range; leave it out'
        )
    return TRANSFORMS.build(step)


def _augmentations(steps: Sequence[Step]) -> list[Compose]:
    """Return the scales and flips of ``TestTimeAug``, the last step, as transforms of their own.

    ``TestTimeAug`` itself makes the inputs of all at once.
    """
    if not steps:
        raise PredictorError(
            "the config's tta_pipeline does nothing after loading an image; add TestTimeAug to it"
        )
    *before, last = (TRANSFORMS.build(step) for step in steps)
    views = last.subroutines if isinstance(last, TestTimeAug) else [last]
    return [Compose([*before, view]) for view in views]


def _without_labels(steps: Sequence[Step]) -> list[dict[str, Any]]:
    kept = []
    for given in steps:
        if has_type(given, *LABEL_LOADERS):
            continue
        # A copy: TestTimeAug replaces the dicts in its list by transforms.
        step = copy.deepcopy(dict(given))
        if has_type(step, 'TestTimeAug'):
            groups = [_without_labels(group) for group in step['transforms']]
            step['transforms'] = [group for group in groups if group]
        kept.append(step)
    return kept
