"""Loading weights into a model: any known format, resized where a window differs, and never quietly incomplete."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from swinseg.checkpoints import formats
from swinseg.checkpoints.architecture import (
    config_change,
    describe,
    difference,
    infer_architecture,
    is_complete,
)
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.checkpoints.reading import read_checkpoint, state_dict_of
from swinseg.checkpoints.resize import (
    inflate_kernel,
    is_square,
    resize_bias_table,
    resize_position_embedding,
)
from swinseg.errors import CheckpointError

__all__ = [
    'CheckpointError',
    'Receipt',
    'checkpoint_meta',
    'load_backbone_weights',
    'load_weights',
    'read_checkpoint',
    'state_dict_of',
]

Source = str | os.PathLike[str] | Mapping[str, Any]
Logger = str | logging.Logger | None

# Each model computes these from its own window size.
_COMPUTED = 'relative_position_index'
_AS_NAMED_BY_THE_MODEL = 'own'
# Only training uses the auxiliary head, so a file without it is complete for everything else.
_OPTIONAL = ('auxiliary_head.',)
# The layer of a Swin Transformer that sees the image, and the bands of the photographs that others pretrain on.
_PATCH_EMBEDDING = 'patch_embed.projection.weight'
_COLORS = 3
_SHOWN = 4


@dataclass(frozen=True)
class Receipt:
    """What became of every tensor of a weight file and of every one of the model.

    Attributes:
        source: path or address of the file.
        format: one of ``formats.FORMATS``, or ``'own'`` where the file has the names of the model itself.
        loaded: keys of the model that were filled with the file's values.
        resized: keys that were filled after resizing to another window or image size (not in ``loaded``).
        inflated: keys that were filled with the kernels of colors for images of other bands (not in ``loaded``):
            (bands of the file, bands of the model).
        missing: keys of the model that the file does not have.
        unexpected: keys of the file, in mmseg's names, that the model does not have.
        mismatched: keys that both have in different shapes: (file's shape, model's shape).
        backbone_fraction: filled share of the backbone's parameters, counted in numbers, in [0, 1].
    """

    source: str
    format: str
    loaded: tuple[str, ...]
    resized: tuple[str, ...]
    inflated: Mapping[str, tuple[int, int]]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    backbone_fraction: float

    def __str__(self) -> str:
        """Return the receipt as lines to print."""
        lines = [
            f'weights from {self.source} ({formats.FORMATS.get(self.format, "in the names of the model")})',
            f'  filled: {100 * self.backbone_fraction:.2f}% of the backbone, '
            f'{len(self.loaded) + len(self.resized) + len(self.inflated)} tensors in all',
        ]
        if self.resized:
            lines.append(f'  resized to this window or image size: {_examples(self.resized)}')
        for key, (before, bands) in self.inflated.items():
            how = 'summed' if bands == 1 else f'taken in turn, times {before}/{bands}'
            lines.append(f'  from {before} bands to {bands} (kernels {how}): {key}')
        if self.missing:
            lines.append(f'  not in the file, left as initialized: {_examples(self.missing)}')
        if self.unexpected:
            lines.append(f'  in the file, not in the model: {_examples(self.unexpected)}')
        for key, (file, model) in list(self.mismatched.items())[:_SHOWN]:
            lines.append(
                f'  left as initialized: {key} is {file} in the file, {model} in the model'
            )
        if len(self.mismatched) > _SHOWN:
            lines.append(f'  and {len(self.mismatched) - _SHOWN} more of another shape')
        return '\n'.join(lines)


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    minimum_backbone: float = 0.99,
    strict: bool = False,
    name: str | None = None,
    logger: Logger = 'current',
) -> Receipt:
    """Load a segmentor's weights from a file of any known format, and print the receipt.

    The formats are those of Swin Transformers; the weights of a model with another backbone have its own names, or
    those of a library, which a backbone such as ``TimmBackbone`` translates (``from_library``).

    Args:
        model: segmentor with its backbone at ``model.backbone``, a Swin Transformer in mmseg's names or any other;
            changed in place, and only when nothing is wrong.
        source: path, http(s) address, checkpoint or state dict; of a segmentor or of a backbone alone.
        minimum_backbone: share of the backbone's parameters that must be filled, in [0, 1]; 0 also allows
            weights of another architecture, of which what fits is taken.
        strict: whether all other parameters must be filled as well, and all of the file's be used (but for the
            auxiliary head, which only training uses). Without it a head for other classes stays as initialized,
            and the patch embedding of three bands is inflated to those of the model.
        name: what receipt and errors call a source that was read already; None takes the path.
        logger: where the receipt goes, as in mmengine's ``print_log``; None prints it.

    Raises:
        CheckpointError: unreadable file, unknown format, too little of the backbone filled, weights for another
            architecture or with values that are not finite, or under ``strict`` anything unfilled or unused.
    """
    own_names = [key for key, _ in model.named_parameters()]
    # A model without a backbone of that name must be filled as a whole.
    backbone = 'backbone.' if any(key.startswith('backbone.') for key in own_names) else ''
    name, weights, source_format = _read(source, model, name)
    if not any(key.startswith(backbone) for key in weights):
        weights = {f'{backbone}{key}': value for key, value in weights.items()}
    fitted, receipt = _fit(
        model, weights, name, source_format, backbone=backbone, inflates=not strict
    )
    print_log(str(receipt), logger=logger)
    _check_backbone(model, weights, receipt, minimum_backbone, backbone=backbone)
    if strict:
        _check_complete(receipt)
    model.load_state_dict(fitted, strict=False)
    return receipt


def load_backbone_weights(
    backbone: nn.Module,
    source: Source,
    *,
    minimum: float = 0.99,
    name: str | None = None,
    inflate: bool = True,
    logger: Logger = 'current',
) -> Receipt:
    """Load a backbone's weights from a file of any known format, and print the receipt.

    Args:
        backbone: Swin Transformer in mmseg's names, or any other as for ``load_weights``; changed in place, and
            only when nothing is wrong.
        source: path, http(s) address, checkpoint or state dict; of a segmentor its backbone is taken.
        minimum: share of the parameters that must be filled, in [0, 1]; 0 allows another architecture.
        name: what receipt and errors call a source that was read already; None takes the path.
        inflate: whether a patch embedding of three bands fills one of another number, as
            :func:`swinseg.checkpoints.resize.inflate_kernel` says; without, that one stays as initialized.
        logger: where the receipt goes, as in mmengine's ``print_log``; None prints it.

    Raises:
        CheckpointError: as for ``load_weights``.
    """
    name, weights, source_format = _read(source, backbone, name)
    weights = formats.backbone_part(weights)
    fitted, receipt = _fit(backbone, weights, name, source_format, backbone='', inflates=inflate)
    print_log(str(receipt), logger=logger)
    _check_backbone(backbone, weights, receipt, minimum, backbone='')
    backbone.load_state_dict(fitted, strict=False)
    return receipt


def _read(
    source: Source, model: nn.Module, name: str | None = None
) -> tuple[str, formats.StateDict, str]:
    """Return what to call a source, its weights in the names of the model, and their format."""
    checkpoint: Mapping[str, Any]
    if isinstance(source, Mapping):
        name, checkpoint = name or 'the state dict', source
    else:
        name, checkpoint = name or os.fspath(source), read_checkpoint(source)
    try:
        state_dict = state_dict_of(checkpoint)
        if not _is_swin(model) and _has_names_of(model, state_dict):
            return name, state_dict, _AS_NAMED_BY_THE_MODEL
        backbone: Any = getattr(model, 'backbone', model)
        if callable(getattr(backbone, 'from_library', None)):
            return name, backbone.from_library(state_dict), backbone.weight_format
        source_format = formats.detect(state_dict)
        return name, formats.to_mmseg(state_dict, source_format), source_format
    except CheckpointError as error:
        raise CheckpointError(f'{name}: {error}') from error


def _is_swin(model: nn.Module) -> bool:
    return infer_architecture(model.state_dict())['depths'] is not None


def _has_names_of(model: nn.Module, state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict names parameters of a model, or of its backbone alone."""
    return any(
        key in state_dict or key.removeprefix('backbone.') in state_dict
        for key, _ in model.named_parameters()
    )


def _fit(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    name: str,
    source_format: str,
    *,
    backbone: str,
    inflates: bool,
) -> tuple[formats.StateDict, Receipt]:
    """Choose what goes into the model; ``backbone`` is the prefix of the backbone's keys."""
    fitted: formats.StateDict = {}
    loaded: list[str] = []
    resized: list[str] = []
    inflated: dict[str, tuple[int, int]] = {}
    missing: list[str] = []
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    own = {key: value for key, value in model.state_dict().items() if not key.endswith(_COMPUTED)}
    for key, value in own.items():
        if key not in weights:
            missing.append(key)
            continue
        found = weights[key]
        if found.is_floating_point() != value.is_floating_point():
            raise CheckpointError(
                f'{name}: {key} holds {found.dtype}, but the model takes {value.dtype}; '
                'save the weights as they are in the model'
            )
        if found.is_floating_point() and not found.isfinite().all():
            raise CheckpointError(
                f'{name}: {key} has values that are not finite, so the training that wrote it had diverged; '
                'use an earlier checkpoint'
            )
        if found.shape == value.shape:
            fitted[key] = found
            loaded.append(key)
        elif (adapted := _resized(key, found, value)) is not None:
            fitted[key] = adapted
            resized.append(key)
        elif inflates and _is_of_other_bands(key, found, value):
            fitted[key] = inflate_kernel(found, value.shape[1])
            inflated[key] = (found.shape[1], value.shape[1])
        else:
            mismatched[key] = (tuple(found.shape), tuple(value.shape))
    sizes = {
        key: parameter.numel()
        for key, parameter in model.named_parameters()
        if key.startswith(backbone)
    }
    filled = sum(size for key, size in sizes.items() if key in fitted)
    unexpected = [key for key in weights if key not in own and not key.endswith(_COMPUTED)]
    return fitted, Receipt(
        source=name,
        format=source_format,
        loaded=tuple(loaded),
        resized=tuple(resized),
        inflated=inflated,
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        mismatched=mismatched,
        backbone_fraction=filled / max(sum(sizes.values()), 1),
    )


def _resized(key: str, found: Tensor, wanted: Tensor) -> Tensor | None:
    """Return ``found`` in the shape of ``wanted`` where only the window or image size differs, else None."""
    if found.dim() != wanted.dim():
        return None
    if key.endswith('relative_position_bias_table') and found.shape[1] == wanted.shape[1]:
        return resize_bias_table(found, wanted.shape[0])
    if (
        key.endswith('absolute_pos_embed')
        and found.shape[-1] == wanted.shape[-1]
        and is_square(found.shape[1])
        and is_square(wanted.shape[1])
    ):
        return resize_position_embedding(found, wanted.shape[1])
    return None


def _is_of_other_bands(key: str, found: Tensor, wanted: Tensor) -> bool:
    """Whether two patch embeddings differ in the bands of the image alone, and the found one is of colors."""
    return (
        key.endswith(_PATCH_EMBEDDING)
        and found.dim() == wanted.dim() == 4
        and found.shape[1] == _COLORS
        and found.shape[:1] + found.shape[2:] == wanted.shape[:1] + wanted.shape[2:]
    )


def _check_backbone(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    receipt: Receipt,
    minimum: float,
    *,
    backbone: str,
) -> None:
    file_has = infer_architecture(weights)
    model_has = infer_architecture(model.state_dict())
    # Swin-S weights would fill a Swin-T completely, so the filled share alone proves nothing.
    other = difference(file_has, model_has) if minimum > 0 else None
    if receipt.backbone_fraction >= minimum and other is None:
        return
    parts = [
        f'{receipt.source} fills {100 * receipt.backbone_fraction:.1f}% of the backbone where '
        f'{100 * minimum:g}% are needed'
        if other is None or receipt.backbone_fraction < minimum
        else f'{receipt.source} is for another network ({other} differs)'
    ]
    missing = [key for key in receipt.missing if key.startswith(backbone)]
    if missing:
        parts.append(f'missing: {_examples(missing)}')
    if other is not None:
        parts.append(
            f'the file looks like {describe(file_has)}, the model is {describe(model_has)}'
        )
    if other is not None and is_complete(weights):
        change = config_change(file_has, with_type=other == 'version')
        parts.append(f'to use this file set {change}')
    else:
        parts.append(
            'use a complete file for this network, or allow less by a lower minimum if it is meant'
        )
    raise CheckpointError('; '.join(parts))


def _check_complete(receipt: Receipt) -> None:
    missing = [key for key in receipt.missing if not key.startswith(_OPTIONAL)]
    parts = []
    if missing:
        parts.append(f'missing: {_examples(missing)}')
    for key, (file, model) in receipt.mismatched.items():
        if key.endswith('conv_seg.weight') and len(file) == len(model):
            parts.append(
                f'{key} has {file[0]} classes in the file and {model[0]} in the model, set num_classes={file[0]} '
                'in decode_head and auxiliary_head'
            )
            break
        if key.endswith(_PATCH_EMBEDDING) and (file[:1], file[2:]) == (model[:1], model[2:]):
            parts.append(
                f'it was trained on images of {file[1]} bands, but the model takes {model[1]}, its in_channels'
            )
            break
    else:
        for key, (file, model) in list(receipt.mismatched.items())[:1]:
            parts.append(f'{key} is {file} in the file and {model} in the model')
    # Position tables that the model has no place for, say, would be lost without a trace in the numbers.
    unused = [key for key in receipt.unexpected if not key.startswith(_OPTIONAL)]
    if unused:
        parts.append(f'the model has no place for {_examples(unused)}')
    if parts:
        raise CheckpointError(
            f'{receipt.source} does not fit the whole model; {"; ".join(parts)}; use the config that it was '
            'trained with'
        )


def _examples(keys: Iterable[str]) -> str:
    listed = list(keys)
    more = f' and {len(listed) - 3} more' if len(listed) > 3 else ''
    return ', '.join(listed[:3]) + more
