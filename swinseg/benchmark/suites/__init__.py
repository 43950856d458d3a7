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
    gpu,
    head,
    metric,
    model,
    scene,
    slide,
    train,
    video,
)


class Suite(NamedTuple):
    """What runs, and the options that it takes.

    Attributes:
        run: measures and yields the tables.
        options: the class of its argument.
        run_parts: does the same part by part, keeps what it has after each, and goes on with earlier tables; None
            where a suite is measured as a whole.
        may_differ: options that an earlier run may have had otherwise.
    """

    run: Callable[[Any], Iterator[Table]]
    options: type[Options]
    run_parts: Callable[..., Iterator[Table]] | None = None
    may_differ: tuple[str, ...] = ()


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
    'gpu': Suite(gpu.run, gpu.GpuOptions, gpu.run_parts, gpu.MAY_DIFFER),
}
