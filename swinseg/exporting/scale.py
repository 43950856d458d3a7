"""The one size to which a config's test pipeline brings all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from swinseg.config.pipelines import LABEL_LOADERS, PACKERS, pipeline_of
from swinseg.errors import ExportError, shown
from swinseg.type_names import has_type, type_name

_OTHERWISE = 'resize the images before they are given to the file, and export it without resize=True (--resize)'


@dataclass(frozen=True)
class Scale:
    """What a pipeline's ``Resize`` brings images to.

    Attributes:
        width: in pixels; with ``keep_ratio`` the two sides are a long one and a short one, whichever is which.
        height: likewise.
        keep_ratio: whether the image is made as large as fits into both, else exactly as large.
    """

    width: int
    height: int
    keep_ratio: bool


def scale_of(cfg: Mapping[str, Any]) -> Scale:
    """Return how a config's test pipeline resizes images.

    Raises:
        ExportError: it does so not at all or not once by a scale, in another way than bilinearly by OpenCV, or
            changes images otherwise.
    """
    steps = [step for step in pipeline_of(cfg)[1:] if not has_type(step, *LABEL_LOADERS, *PACKERS)]
    if not steps:
        raise ExportError(
            'expected a test pipeline with a Resize to put into the graph, found none, so that images are used as '
            'they are; export without resize=True (--resize)'
        )
    if len(steps) != 1 or not has_type(steps[0], 'Resize'):
        raise ExportError(
            'expected a test pipeline with one Resize and nothing else between loading and packing to put into '
            f'the graph, found {", ".join(type_name(step["type"]) for step in steps)}; {_OTHERWISE}'
        )
    step = steps[0]
    backend, interpolation = step.get('backend', 'cv2'), step.get('interpolation', 'bilinear')
    if (backend, interpolation) != ('cv2', 'bilinear'):
        raise ExportError(
            f"expected a Resize of the test pipeline with backend='cv2' and interpolation='bilinear' to put into "
            f'the graph, found {shown(backend)} and {shown(interpolation)}; {_OTHERWISE}'
        )
    scale = step.get('scale')
    sides: list[Any] = list(scale) if isinstance(scale, (tuple, list)) else [scale, scale]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ExportError(
            'expected a Resize of the test pipeline with a width and a height as scale to put into the graph, '
            f'found {shown(dict(step))}; {_OTHERWISE}'
        )
    width, height = sides
    return Scale(width, height, keep_ratio=bool(step.get('keep_ratio', False)))


def without_resize(cfg: Config) -> Config:
    """Return what a config says of a graph that resizes images: a pipeline that does not, for whole images."""
    steps = [step for step in pipeline_of(cfg) if not has_type(step, 'Resize')]
    model = {**cfg['model'], 'test_cfg': dict(mode='whole')}
    return Config(dict(model=model, test_pipeline=steps))
