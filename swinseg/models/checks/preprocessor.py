"""The settings of mmseg's ``SegDataPreProcessor``, which takes any and fails, or trains on nan, with some."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor
from torch import Tensor, nn

from swinseg.errors import ArchitectureError, quoted
from swinseg.models.swin.arguments import is_number, is_whole


def check_preprocessor(preprocessor: nn.Module, channels: int | None) -> None:
    """Check normalization and padding, and from now on the channels of each image that comes in.

    Args:
        preprocessor: of a model; one of another class than mmseg's is not looked at.
        channels: of the images that the backbone takes; None where that is not known.

    Raises:
        ArchitectureError: a setting is none that an image can be normalized or padded by.
    """
    if not isinstance(preprocessor, SegDataPreProcessor):
        return
    _check_normalization(preprocessor, channels)
    _check_padding(preprocessor.size, preprocessor.size_divisor, 'data_preprocessor')
    test_cfg = preprocessor.test_cfg
    if test_cfg:
        unknown = sorted(set(test_cfg) - {'size', 'size_divisor'})
        if unknown or len(test_cfg) != 1:
            raise ArchitectureError(
                'test_cfg of data_preprocessor takes either size or size_divisor, found '
                f'{quoted(dict(test_cfg))}'
            )
        _check_padding(
            test_cfg.get('size'), test_cfg.get('size_divisor'), 'data_preprocessor.test_cfg'
        )
    for name in ('pad_val', 'seg_pad_val'):
        value = getattr(preprocessor, name)
        if not is_number(value):
            raise ArchitectureError(
                f'{name} of data_preprocessor must be a number, found {quoted(value)}'
            )
    if channels is not None:
        preprocessor.register_forward_pre_hook(
            functools.partial(_check_channels, channels=channels)
        )


def _check_normalization(preprocessor: SegDataPreProcessor, channels: int | None) -> None:
    if not preprocessor._enable_normalize:
        return
    lengths = {}
    for name in ('mean', 'std'):
        values: Tensor = getattr(preprocessor, name).flatten()
        lengths[name] = len(values)
        if values.is_meta:  # of a model that is built without memory
            continue
        shown = quoted(values.tolist())
        if not bool(torch.isfinite(values).all()):
            raise ArchitectureError(
                f'{name} of data_preprocessor must be finite numbers, found {shown}'
            )
        if name == 'std' and not bool((values > 0).all()):
            raise ArchitectureError(
                f'std of data_preprocessor, which images are divided by, must be above 0, found {shown}'
            )
    # A single number is for all channels.
    wrong = {name: length for name, length in lengths.items() if length not in (1, channels)}
    if channels is not None and wrong:
        name, length = next(iter(wrong.items()))
        raise ArchitectureError(
            f'{name} of data_preprocessor has {length} numbers, but the backbone takes images of {channels} '
            f'channels (its in_channels); give one number for each channel (swinseg check prints them)'
        )


def _check_padding(size: Any, divisor: Any, where: str) -> None:
    if size is not None and divisor is not None:
        raise ArchitectureError(
            f'{where} has both size={quoted(size)} and size_divisor={quoted(divisor)}, of which one pads images; '
            'set the other to None'
        )
    is_pair = isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2
    if size is not None and not (is_pair and all(is_whole(side, least=1) for side in size)):
        hint = f'; write size=({size}, {size})' if is_whole(size, least=1) else ''
        raise ArchitectureError(
            f'size of {where} must be (height, width) in whole pixels, found {quoted(size)}{hint}'
        )
    if divisor is not None and not is_whole(divisor, least=1):
        raise ArchitectureError(
            f'size_divisor of {where} must be a whole number from 1 on, found {quoted(divisor)}'
        )


def _check_channels(preprocessor: nn.Module, arguments: tuple[Any, ...], *, channels: int) -> None:
    """Compare the channels of loaded images with those that the model takes, before one breaks inside it."""
    data = arguments[0] if arguments and isinstance(arguments[0], Mapping) else {}
    images = data.get('inputs', ())
    samples = data.get('data_samples') or ()
    for index, image in enumerate(images):
        if not isinstance(image, Tensor) or image.ndim != 3 or _fits(image, preprocessor, channels):
            continue
        meta = getattr(samples[index], 'metainfo', {}) if index < len(samples) else {}
        raise ArchitectureError(
            f'{meta.get("img_path") or "an image"} has {image.shape[0]} channels after loading, but the model '
            f'takes {channels}: load them with the other color_type, or set in_channels of the backbone and mean '
            'and std of data_preprocessor for the channels that there are'
        )


def _fits(image: Tensor, preprocessor: nn.Module, channels: int) -> bool:
    if image.shape[0] == channels:
        return True
    # A single channel becomes three when the means of three are subtracted.
    mean = getattr(preprocessor, 'mean', None)
    return image.shape[0] == 1 and mean is not None and mean.shape[0] == channels
