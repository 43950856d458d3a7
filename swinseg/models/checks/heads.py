"""Checks of heads: the maps they ask of the backbone, compared with those it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from swinseg.config.needed_packages import missing_package
from swinseg.errors import ArchitectureError, quoted
from swinseg.models.feature_info import FeatureInfo
from swinseg.models.swin.arguments import is_number
from swinseg.type_names import type_name

# What an EncoderDecoder has no place for, and the segmentors of mmseg that do.
_OF_OTHER_SEGMENTORS = {
    'VPDDepthHead': "predicts depths in place of classes, for mmseg's DepthEstimator",
    'SideAdapterCLIPHead': "reads CLIP's features of images and texts, for mmseg's MultimodalEncoderDecoder",
}


def check_part_types(**settings: Any) -> None:
    """Check that the parts of a segmentor can be built here, before one fails in its own way.

    Args:
        **settings: dicts with a ``type``, by the names of the parts; others are not looked at.

    Raises:
        ArchitectureError: one needs a package that is not installed, or belongs into another segmentor.
    """
    for part, each in settings.items():
        kind = type_name(str(each.get('type'))) if isinstance(each, Mapping) else ''
        lacks = missing_package(kind)
        if lacks is not None:
            raise ArchitectureError(f'{part}.type={kind} {lacks}')
        if kind in _OF_OTHER_SEGMENTORS:
            raise ArchitectureError(
                f'{part}.type={kind} {_OF_OTHER_SEGMENTORS[kind]}; take another head such as UPerNetHead'
            )


def heads_of(model: nn.Module) -> Iterator[tuple[str, BaseDecodeHead]]:
    """Yield the decode and auxiliary heads of a segmentor that are mmseg's kind, with their names in a config."""
    for name in ('decode_head', 'auxiliary_head'):
        head: Any = getattr(model, name, None)
        several = isinstance(head, nn.ModuleList)
        for index, each in enumerate(head if several else [head]):
            if isinstance(each, BaseDecodeHead):
                yield f'{name}.{index}' if several else name, each


def check_head_inputs(
    name: str, head: BaseDecodeHead, features: Sequence[FeatureInfo], source: str
) -> None:
    """Check that the maps which a head selects are there, and have as many channels as it takes.

    Args:
        name: of the head, for the message.
        head: one that selects its inputs in a way of its own is not looked at.
        features: of the maps, in their order.
        source: class of the backbone, or of the neck behind it.

    Raises:
        ArchitectureError: a map is not there, or has another number of channels.
    """
    # K-Net's selects no maps itself, but the head that makes its first kernels does.
    head = getattr(head, 'kernel_generate_head', head)
    if type(head)._transform_inputs is not BaseDecodeHead._transform_inputs:
        return
    chosen = head.in_index if isinstance(head.in_index, Sequence) else [head.in_index]
    if not all(isinstance(index, int) for index in chosen):
        return
    gives = [info.channels for info in features]
    beyond = [index for index in chosen if not -len(gives) <= index < len(gives)]
    if beyond:
        raise ArchitectureError(
            f'in_index={_listed(head.in_index)} of {name} asks for map {beyond[0]}, but {source} gives '
            f'{len(gives)}, counted from 0, with {_listed(gives)} channels'
        )
    found = [gives[index] for index in chosen]
    taken: Any = head.in_channels
    expected: Any = found if head.input_transform else found[0]
    if head.input_transform == 'resize_concat':
        fits = taken == sum(found)
    elif head.input_transform == 'multiple_select':
        fits = list(taken) == found
    else:
        fits = taken == found[0]
    if not fits:
        raise ArchitectureError(
            f'{name} takes maps of {_listed(taken)} channels, but {source} gives {_listed(gives)} and '
            f'in_index={_listed(head.in_index)} selects {_listed(expected)} of them; set in_channels='
            f'{_listed(expected)} of {name}'
        )


def check_threshold(name: str, head: BaseDecodeHead) -> None:
    """Check that a head with one score can predict both classes.

    Args:
        name: of the head, for the message.
        head: any.

    Raises:
        ArchitectureError: its threshold is above all probabilities, or below.
    """
    if head.out_channels == 1 and not (is_number(head.threshold) and 0 <= head.threshold < 1):
        raise ArchitectureError(
            f'threshold of {name}, above which a probability means class 1, must lie from 0 to below 1, found '
            f'{quoted(head.threshold)}'
        )


def _listed(value: Any) -> str:
    return quoted(list(value) if isinstance(value, Sequence) else value)
