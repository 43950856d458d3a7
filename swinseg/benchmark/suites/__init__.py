"""The suites: each compares one part of swinseg with its peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from swinseg.benchmark.options import Options
from swinseg.benchmark.results import Table
from swinseg.benchmark.suites import (
    attention,
    data,
    export,
    head,
    metric,
    model,
    scene,
    slide,
    train,
    video,
)


class Suite(NamedTuple):
    """What runs, and the options that it takes."""

    run: Callable[[Any], Iterator[Table]]
    options: type[Options]


SUITES: dict[str, Suite] = {
    'model': Suite(model.run, model.ModelOptions),
    'head': Suite(head.run, head.HeadOptions),
    'attention': Suite(attention.run, attention.AttentionOptions),
    'train': Suite(train.run, train.TrainOptions),
    'data': Suite(data.run, data.DataOptions),
    'metric': Suite(metric.run, metric.MetricOptions),
    'slide': Suite(slide.run, slide.SlideOptions),
    'scene': Suite(scene.run, scene.SceneOptions),
    'export': Suite(export.run, export.ExportOptions),
    'video': Suite(video.run, video.VideoOptions),
}
