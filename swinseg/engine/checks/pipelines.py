"""Checks of a pipeline's steps: what they leave of an image and its label, against what comes after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmcv.transforms import CenterCrop, Pad, Resize
from mmseg.datasets.transforms import RandomCrop, RandomRotate
from mmseg.models import SegDataPreProcessor
from torch import nn

from swinseg.datasets.building import flat_steps, pipelines_of
from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.datasets.transforms.resize_crop import RandomResizeCrop
from swinseg.errors import ConfigError, shown

# Steps after a crop that leave its size as it is.
_SAME_SIZE = frozenset(
    (
        *(
            'LoadImage',
            'LoadLabel',
            'LoadImageFromFile',
            'LoadAnnotations',
            'RandomFlip',
            'Normalize',
        ),
        *(
            'PhotoMetricDistortion',
            'TablePhotoMetricDistortion',
            'RandomCutOut',
            'CLAHE',
            'Rerange',
        ),
        *('RGB2Gray', 'AdjustGamma', 'GenerateEdge', 'PackSegInputs', 'PackPlanes'),
    )
)

Size = tuple[int, int]
"""Height, width."""


def check_padding(dataset: Any, preprocessor: nn.Module, *, ignored: dict[str, int | None]) -> None:
    """Check that the training's crops fill its batches, and that what is padded does not count.

    Args:
        dataset: of the training.
        preprocessor: of the model; one of another class than mmseg's is not looked at.
        ignored: the label that does not count, of each head by its name.

    Raises:
        ConfigError: batches are larger or smaller than the crops, have no size, or padding would be a class.
    """
    if not isinstance(preprocessor, SegDataPreProcessor):
        return
    if preprocessor.size is None and preprocessor.size_divisor is None:
        raise ConfigError(
            'data_preprocessor has neither size nor size_divisor, so training images of several sizes make no '
            'batch; set size to the crop_size, as in size=(512, 512)'
        )
    steps = [step for _, steps in pipelines_of(dataset) for step in steps]
    for owner, setting, label in _padding_labels(preprocessor, steps):
        for name, ignore_index in ignored.items():
            if ignore_index is not None and ignore_index != label:
                raise ConfigError(
                    f'{owner} gives padding the label {setting}={shown(label)}, which {name} does not ignore (its '
                    f'ignore_index is {ignore_index}); set {setting}={ignore_index} of {owner}'
                )
    if preprocessor.size is None:
        return
    size = tuple(preprocessor.size)
    for _, steps in pipelines_of(dataset):
        cropped = _size_after(steps)
        if cropped is None or cropped == size:
            continue
        share = 1 - cropped[0] * cropped[1] / (max(cropped[0], size[0]) * max(cropped[1], size[1]))
        outcome = (
            f'{share:.0%} of each batch is padding, which costs as much as pixels and counts in the loss'
            if share
            else 'it does not cut them, and a smaller image does not fit the others of its batch'
        )
        raise ConfigError(
            f'the training pipeline gives {_sides(cropped)} pixels (height x width), but data_preprocessor.size '
            f'is {_sides(size)}: {outcome}; set size={cropped} of data_preprocessor, or crop_size={size}'
        )


def _padding_labels(
    preprocessor: SegDataPreProcessor, steps: Sequence[Any]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what adds pixels around an image, its setting for their label, and that."""
    yield 'data_preprocessor', 'seg_pad_val', preprocessor.seg_pad_val
    for step in flat_steps(steps):
        if isinstance(step, RandomRotate):
            yield 'RandomRotate', 'seg_pad_val', step.seg_pad_val
        elif isinstance(step, Pad):
            yield 'Pad', "pad_val['seg']", step.pad_val.get('seg', IGNORE_INDEX)


def _sides(size: Sequence[int]) -> str:
    return ' x '.join(map(shown, size))


def _size_after(steps: Sequence[Any]) -> Size | None:
    """Return the size that all images have after these steps, or at most have where they were smaller; or None."""
    size: Size | None = None
    for step in steps:
        if isinstance(step, RandomResizeCrop | RandomCrop):
            size = tuple(step.crop_size)
        elif isinstance(step, CenterCrop):
            width, height = step.crop_size
            size = height, width
        elif isinstance(step, Resize) and not step.keep_ratio and step.scale is not None:
            size = step.scale[1], step.scale[0]
        elif isinstance(step, Pad) and step.size is not None and size is not None:
            size = max(size[0], step.size[1]), max(size[1], step.size[0])
        elif type(step).__name__ not in _SAME_SIZE:
            size = None
    return size
