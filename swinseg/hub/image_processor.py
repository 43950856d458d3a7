"""``preprocessor_config.json`` of transformers' ``SegformerImageProcessor`` from a test pipeline, and back.

That processor takes RGB images of 8 bits, resizes them by Pillow's rules (with antialiasing), and normalizes.
What a pipeline does besides is not lost without a word: each thing comes back as a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.config.pipelines import LABEL_LOADERS, PACKERS
from swinseg.errors import CheckpointError, quoted
from swinseg.type_names import has_type, type_name

PROCESSOR = 'SegformerImageProcessor'

Step = Mapping[str, Any]
Fields = dict[str, Any]

# What the published models name, of older versions and of faster ones too.
_PROCESSORS = (PROCESSOR, f'{PROCESSOR}Fast', f'{PROCESSOR}Pil', 'SegformerFeatureExtractor')
# Pillow's numbers of the interpolations that mmcv has in Pillow's way.
_RESAMPLE = {'nearest': 0, 'lanczos': 1, 'bilinear': 2, 'bicubic': 3, 'box': 4, 'hamming': 5}
_LOADERS = ('LoadImage', 'LoadImageFromFile')
# Longer than any side; a bound on the shorter side alone is written with it.
_LONGEST_SIDE = 16_384


def to_image_processor(
    preprocessor: Mapping[str, Any],
    steps: Sequence[Step],
    *,
    reduce_labels: bool,
) -> tuple[Fields, bool, list[str]]:
    """Return the fields of ``preprocessor_config.json``.

    Args:
        preprocessor: ``model.data_preprocessor`` of a config.
        steps: of the test pipeline.
        reduce_labels: whether raw label 0 is ignored and raw v is class v - 1.

    Returns:
        The fields; whether the model expects blue first, so that the first layer's channels have to be exchanged
        for images whose red is first; and a sentence for everything that the processor does not do.

    Raises:
        CheckpointError: the images of the model have other than three channels of color.
    """
    if not has_type(preprocessor, 'SegDataPreProcessor'):
        raise CheckpointError(
            f"expected model.data_preprocessor=dict(type='SegDataPreProcessor', mean=..., std=...), found "
            f'{quoted(dict(preprocessor))}; transformers normalizes three channels by mean and deviation alone'
        )
    is_blue_first = not (preprocessor.get('bgr_to_rgb') or preprocessor.get('rgb_to_bgr'))
    fields: Fields = {
        'image_processor_type': PROCESSOR,
        **_normalization(preprocessor, is_blue_first),
    }
    size, notes = _size(steps)
    fields |= size
    fields['do_reduce_labels'] = reduce_labels
    padding = preprocessor.get('test_cfg') or {}
    if padding.get('size_divisor') or padding.get('size'):
        notes.append(
            f'Images are padded ({", ".join(f"{key}={value}" for key, value in padding.items())}) by the test '
            'pipeline but not by the image processor, so that scores near the right and lower border differ.'
        )
    return fields, is_blue_first, notes


def rgb_preprocessor(preprocessor: Mapping[str, Any]) -> Fields:
    """Return ``data_preprocessor`` of a model that took blue first, once its channels are exchanged."""
    changed = {**preprocessor, 'bgr_to_rgb': True, 'rgb_to_bgr': False}
    for key in ('mean', 'std'):
        if preprocessor.get(key) is not None:
            changed[key] = list(reversed(preprocessor[key]))
    return changed


def from_image_processor(fields: Mapping[str, Any], *, name: str) -> tuple[Fields, list[Fields]]:
    """Return ``data_preprocessor`` and the test pipeline of a ``preprocessor_config.json``.

    Args:
        fields: of the file; those that it lacks are transformers' defaults.
        name: what to call the file.

    Raises:
        CheckpointError: it is of another processor, or does what this package has not.
    """
    kind = fields.get('image_processor_type', fields.get('feature_extractor_type', PROCESSOR))
    if kind not in _PROCESSORS:
        raise CheckpointError(
            f'{name} is of {quoted(kind)}; expected {PROCESSOR}, which the published models have; give the config '
            'with --config'
        )
    for key in ('do_center_crop', 'do_pad'):
        if fields.get(key):
            raise CheckpointError(
                f'{name} has {key}=true, but images are segmented as a whole here; give the config with --config'
            )
    factor = (
        _number(fields, 'rescale_factor', 1 / 255, name) if fields.get('do_rescale', True) else 1.0
    )
    mean, std = [0.0] * 3, [1.0] * 3
    if fields.get('do_normalize', True):
        mean = _three(fields, 'image_mean', (0.485, 0.456, 0.406), name)
        std = _three(fields, 'image_std', (0.229, 0.224, 0.225), name)
    if factor <= 0 or min(std) <= 0:
        raise CheckpointError(
            f'{name} has rescale_factor={factor} and image_std={std}, which must be above 0; fetch the file again'
        )
    preprocessor = {
        'type': 'SegDataPreProcessor',
        'mean': [value / factor for value in mean],
        'std': [value / factor for value in std],
        'bgr_to_rgb': True,
    }
    steps: list[Fields] = [{'type': 'LoadImage'}]
    if fields.get('do_resize', True):
        steps.append(_resize_step(fields, name))
    return preprocessor, [*steps, {'type': 'PackSegInputs'}]


def _normalization(preprocessor: Mapping[str, Any], is_blue_first: bool) -> Fields:
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean is None or std is None:
        return {'do_rescale': False, 'do_normalize': False}
    for name, values in (('mean', mean), ('std', std)):
        if len(values) != 3 or not all(isinstance(value, (int, float)) for value in values):
            raise CheckpointError(
                f'expected model.data_preprocessor.{name} of three channels, found {quoted(values)}; transformers '
                'takes images of red, green and blue'
            )
    order = slice(None, None, -1) if is_blue_first else slice(None)
    return {
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': [value / 255 for value in mean[order]],
        'image_std': [value / 255 for value in std[order]],
    }


def _size(steps: Sequence[Step]) -> tuple[Fields, list[str]]:
    """Return what the steps say of the size, and a sentence for each that the processor does not do."""
    notes: list[str] = []
    size: Fields = {'do_resize': False}
    resizes = [step for step in steps if has_type(step, 'Resize', 'ResizeShortestEdge')]
    others: list[str] = []
    for step in steps:
        if has_type(step, *_LOADERS):
            notes += _loading_notes(step)
        elif not has_type(step, *LABEL_LOADERS, *PACKERS, 'Resize', 'ResizeShortestEdge'):
            others.append(type_name(step['type']))
    if others:
        notes.append(
            f'The image processor does not do {", ".join(others)} of the test pipeline; do it before images are '
            'given to the processor.'
        )
    if len(resizes) == 1:
        edges = _edges(resizes[0])
        if edges is None:
            notes.append(
                'The image processor leaves images at their own size, because it cannot resize by a factor as the '
                'test pipeline does; resize them before.'
            )
        else:
            resample, resizing_notes = _resampling(resizes[0], edges)
            size = {'do_resize': True, 'size': edges, 'resample': resample}
            notes += resizing_notes
    elif resizes:
        notes.append(
            'The image processor leaves images at their own size, because the test pipeline resizes them more '
            'than once; resize them before.'
        )
    return size, notes


def _loading_notes(step: Step) -> list[str]:
    color = step.get('color_type', 'color')
    if color != 'color':
        raise CheckpointError(
            f"the test pipeline loads images with color_type={quoted(color)}, but transformers' processor gives "
            'red, green and blue; write the weights alone, with a file such as model.safetensors as the output'
        )
    if step.get('bands') is not None:
        raise CheckpointError(
            f"the test pipeline loads the bands {quoted(step['bands'])}, but transformers' processor gives red, "
            'green and blue; write the weights alone, with a file such as model.safetensors as the output'
        )
    if step.get('value_range') is None:
        return []
    return [
        'The image processor takes 8 bits for each channel: bring images of more bits to 0..255 by the '
        f'value_range {quoted(step["value_range"])} before.'
    ]


def _edges(step: Step) -> dict[str, int] | None:
    """Return the processor's ``size`` for a step, or None where it has none."""
    scale = step.get('scale')
    if scale is None:
        return None
    try:
        width, height = map(int, scale if isinstance(scale, (list, tuple)) else (scale, scale))
        if has_type(step, 'ResizeShortestEdge'):
            return {'shortest_edge': min(width, height), 'longest_edge': int(step['max_size'])}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'expected a width and a height as scale of {type_name(step["type"])} in the test pipeline, found '
            f'{quoted(dict(step))}; give the config that the model was tested with by --config'
        ) from error
    if not step.get('keep_ratio', False):
        return {'height': height, 'width': width}
    return {'shortest_edge': min(width, height), 'longest_edge': max(width, height)}


def _resampling(step: Step, edges: Mapping[str, int]) -> tuple[int, list[str]]:
    interpolation = step.get('interpolation', 'bilinear')
    resample = _RESAMPLE.get(interpolation, _RESAMPLE['bilinear'])
    notes = []
    if step.get('backend', 'cv2') != 'pillow' or interpolation not in _RESAMPLE:
        notes.append(
            f'The test pipeline resizes by {step.get("backend", "cv2")} ({interpolation}) and the image processor '
            'with antialiasing, so that pixels, and labels where classes meet, differ a little: the more, the '
            'more an image is made smaller.'
        )
    if 'shortest_edge' in edges:
        notes.append(
            'The image processor rounds the longer side of a resized image down and the test pipeline to the '
            'nearest pixel, so that it can be one pixel shorter; in transformers 4 it needs use_fast=True.'
        )
    return resample, notes


def _resize_step(fields: Mapping[str, Any], name: str) -> Fields:
    given = fields.get('size', {'height': 512, 'width': 512})
    if isinstance(given, int):
        given = {'height': given, 'width': given}
    if isinstance(given, (list, tuple)) and len(given) == 2:
        given = {'height': given[0], 'width': given[1]}
    size = given if isinstance(given, Mapping) else {}
    known = {key: value for key, value in size.items() if value is not None}
    if not all(
        isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LONGEST_SIDE
        for value in known.values()
    ):
        known = {}
    interpolation = {number: text for text, number in _RESAMPLE.items()}.get(
        fields.get('resample', _RESAMPLE['bilinear'])
    )
    step: Fields = {'type': 'Resize', 'backend': 'pillow', 'interpolation': interpolation}
    keys = set(known)
    if interpolation is not None:
        if keys == {'height', 'width'}:
            return {**step, 'scale': (known['width'], known['height']), 'keep_ratio': False}
        if keys == {'shortest_edge', 'longest_edge'}:
            # mmcv fits the longer side into the larger number, whichever is meant.
            shortest, longest = known['shortest_edge'], known['longest_edge']
            return {
                **step,
                'scale': (max(longest, shortest), min(longest, shortest)),
                'keep_ratio': True,
            }
        if keys == {'shortest_edge'}:
            return {**step, 'scale': (_LONGEST_SIDE, known['shortest_edge']), 'keep_ratio': True}
    raise CheckpointError(
        f'{name} resizes to size={quoted(given)} with resample={quoted(fields.get("resample"))}; expected '
        'height and width, or shortest_edge with or without longest_edge, and one of the numbers of Pillow; '
        'give the config with --config'
    )


def _number(fields: Mapping[str, Any], key: str, default: float, name: str) -> float:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CheckpointError(
            f'{name} has {key}={quoted(value)}, where a number is expected; fetch the file again'
        )
    return float(value)


def _three(
    fields: Mapping[str, Any], key: str, default: tuple[float, ...], name: str
) -> list[float]:
    values = fields.get(key, default)
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        raise CheckpointError(
            f'{name} has {key}={quoted(values)}, where a number for red, green and blue is expected; fetch the '
            'file again'
        )
    return [_number({key: value}, key, 0.0, name) for value in values]
