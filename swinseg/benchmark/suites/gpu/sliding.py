"""Seconds and memory of a large image in overlapping windows, to its labels on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.config import ConfigDict
from torch import Tensor

from swinseg.benchmark.exactness import of_labels
from swinseg.benchmark.options import PRECISIONS
from swinseg.benchmark.pairs import PREPARED, STOCK, draw_image
from swinseg.benchmark.parts import Part
from swinseg.benchmark.peak_memory import peak_bytes
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites.gpu.models import Models, fastest_convolutions, products_in
from swinseg.benchmark.suites.slide import labels_call
from swinseg.benchmark.timing import Candidate, compare, under_autocast
from swinseg.inference.tiling import window_starts
from swinseg.models.prepare import prepare_for_inference

TITLE = 'Sliding inference'
PEAK = 'peak (MiB)'
_SECONDS_TO_BUILD = 2.0


def sliding_labels(
    model: Any, image: Tensor, *, window: int, stride: int, precision: str = 'float32'
) -> Callable[[], Tensor]:
    """Return a call from an image to its labels by windows; the model keeps that way of predicting."""
    model.test_cfg = ConfigDict(mode='slide', crop_size=(window, window), stride=(stride, stride))
    return under_autocast(labels_call(model, image), str(image.device), PRECISIONS[precision])


def count_windows(size: tuple[int, ...], window: int, stride: int) -> int:
    """Return how many windows an image of this height and width has."""
    rows, columns = (len(window_starts(length, min(window, length), stride)) for length in size)
    return rows * columns


def part(models: Models, name: str, precision: str) -> Part:
    """Return the case of a model."""
    options = models.options
    height, width = options.image_size
    case = f'{name}, {height} x {width}, windows of {options.window} every {options.stride}, {precision}'
    windows = count_windows(options.image_size, options.window, options.stride)
    # The first call, two rounds and one of which the memory is measured, of each.
    expected = 2 * 4 * windows * models.forward_seconds(name, options.window)
    return Part(
        TITLE, case, expected + _SECONDS_TO_BUILD, partial(_measure, models, name, precision, case)
    )


def _measure(models: Models, name: str, precision: str, case: str) -> Table:
    options = models.options
    reason = options.why_not(precision)
    if reason is not None:
        return Table(TITLE, (), left_out={case: reason})
    pair = models.pair(name)
    height, width = options.image_size
    image = draw_image(1, 3, height, width, device=options.device)
    with fastest_convolutions(), products_in(precision):
        prepared = prepare_for_inference(pair.ours, dtype=PRECISIONS[precision])
        sliding = partial(sliding_labels, image=image, window=options.window, stride=options.stride)
        ways = {
            STOCK: sliding(pair.stock, precision=precision),
            PREPARED: sliding(prepared),
        }
        # mmseg keeps all scores, which may not fit; then swinseg is measured alone.
        rows, failed = compare(
            [Candidate(label, call, may_fail=label == STOCK) for label, call in ways.items()],
            of_labels,
            rounds=options.rounds,
            device=options.device,
            case=case,
        )
        if torch.device(options.device).type == 'cuda':
            torch.cuda.empty_cache()
        peaks = {row.name: peak_bytes(ways[row.name], device=options.device) for row in rows}
    return Table(
        TITLE,
        tuple(
            Row(row.name, row.seconds, row.exactness, {PEAK: peaks[row.name] / 2**20}, case)
            for row in rows
        ),
        STOCK,
        PREPARED,
        left_out=failed,
        notes=(
            'Peak: memory above the weights and the image. Image and labels are on the device. Stock mmseg '
            'computes under autocast where the case is of a smaller type.',
        ),
    )
