"""How a config prepares images and puts them through its model, for programs that do not read configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.config.pipelines import LABEL_LOADERS, PACKERS, pipeline_of
from swinseg.errors import ExportedFileError
from swinseg.type_names import has_type, type_name
from swinseg_runtime import Metadata

_LOADERS = ('LoadImage', 'LoadImageFromFile')
# The arguments of Resize that a scale and keep_ratio say all about.
_OF_RESIZE = {'type', 'scale', 'keep_ratio'}


def protocol_of(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protocol of a config's predictions, which JSON can hold.

    Args:
        cfg: with ``model``, and a test pipeline in the test data loader or as ``test_pipeline``.

    Returns:
        ``resize``: ``scale``, [width, height], and ``keep_ratio``, whether it bounds the image and does not
        distort it; None where images keep their size.
        ``mode``: ``'whole'`` or ``'slide'``; for the latter ``crop_size`` and ``stride`` of the windows, each
        [height, width].
        ``other_steps``: types of the pipeline's steps that are not said by this, which the program would have to
        do itself.
    """
    resize, others = None, []
    for step in pipeline_of(cfg):
        if has_type(step, *_LOADERS, *LABEL_LOADERS, *PACKERS):
            continue
        if has_type(step, 'Resize') and resize is None and _is_plain_resize(step):
            resize = {
                'scale': _pair(step['scale']),
                'keep_ratio': bool(step.get('keep_ratio', False)),
            }
        else:
            others.append(type_name(step['type']))
    model = cfg['model']
    if (model.get('data_preprocessor') or {}).get('test_cfg'):
        others.append('padding of the data_preprocessor')
    test_cfg = model.get('test_cfg') or {}
    protocol: dict[str, Any] = {'resize': resize, 'mode': test_cfg.get('mode', 'whole')}
    if protocol['mode'] == 'slide':
        protocol |= {name: _pair(test_cfg[name]) for name in ('crop_size', 'stride')}
    return {**protocol, 'other_steps': others}


def check_steps(metadata: Metadata, steps: Sequence[Mapping[str, Any]], *, name: str) -> None:
    """Make sure that a pipeline does not resize images for a graph that does so itself.

    Args:
        metadata: of the file.
        steps: of the pipeline.
        name: of the file, for the message.

    Raises:
        ExportedFileError: it does.
    """
    if metadata.resizes and any(has_type(step, 'Resize') for step in steps):
        raise ExportedFileError(
            f'{name} resizes images itself, and the config does so before; leave Resize out of its test pipeline, '
            'or export the file without --resize'
        )


def _is_plain_resize(step: Mapping[str, Any]) -> bool:
    return step.get('scale') is not None and set(step) <= _OF_RESIZE


def _pair(value: int | Sequence[int]) -> list[int]:
    first, second = (value, value) if isinstance(value, int) else value
    return [int(first), int(second)]
