"""Evaluation: counting the pixels of an image, and deciding its labels from the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from numpy.typing import NDArray

from swinseg.benchmark.exactness import LARGEST, of_labels
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import OURS, STOCK, build_pair, draw_image
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Candidate, compare
from swinseg.datasets.checked import MAX_CLASSES
from swinseg.errors import BenchmarkError
from swinseg.evaluation import MeanIoUMetric
from swinseg.evaluation.iou_metric import add_sparse


@dataclass(frozen=True)
class MetricOptions(Options):
    """Options of the suite.

    Attributes:
        image_size: height and width of the label map in pixels.
        num_classes: number of classes.
        config: of the model whose logits are decided; None takes that of Swin-T.
    """

    image_size: tuple[int, ...] = (512, 683)
    num_classes: int = 150
    config: str | None = None

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        if len(self.image_size) != 2:
            raise BenchmarkError(
                f'--image-size takes height and width, found {len(self.image_size)} numbers'
            )
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise BenchmarkError(
                f'--num-classes must be from 2 to {MAX_CLASSES}, found {self.num_classes}'
            )


def run(options: MetricOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    rows = [
        *_counting(options, np.uint8, 'counting, 8-bit predictions in swinseg'),
        *_counting(options, np.int64, 'counting, 64-bit predictions in both'),
        *_deciding(options),
    ]
    height, width = options.image_size
    yield Table(
        f'Evaluation of an image of {height} x {width} pixels (height x width)',
        tuple(rows),
        baseline=STOCK,
        ours=OURS,
        notes=(
            "swinseg's segmentor gives 8-bit predictions, mmseg's gives 64-bit ones.",
            'The largest difference is that of intersections and areas, in pixels.',
        ),
    )


def _counting(options: MetricOptions, our_dtype: type[np.integer], case: str) -> list[Row]:
    prediction, label = draw_label_maps(options.image_size, options.num_classes)
    classes = tuple(str(index) for index in range(options.num_classes))
    stock, ours = IoUMetric(prefix='stock'), MeanIoUMetric()  # a prefix, or mmengine warns
    for metric in (stock, ours):
        metric.dataset_meta = dict(classes=classes)
    device = options.device
    rows, _ = compare(
        [
            Candidate(STOCK, _process(stock, _sample(prediction, label, device))),
            Candidate(OURS, _process(ours, _sample(prediction.astype(our_dtype), label, device))),
        ],
        _of_areas,
        rounds=options.rounds,
        device=device,
        case=case,
    )
    return rows


def draw_label_maps(
    size: Sequence[int], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a prediction and a label: patches of 16 x 16 pixels, one pixel in ten wrong, some ignored."""
    generator = np.random.default_rng(4)
    height, width = size
    patches = generator.integers(classes, size=(-(-height // 16), -(-width // 16)))
    label = np.kron(patches, np.ones((16, 16), np.int64))[:height, :width]
    wrong = generator.random(label.shape) < 0.1
    prediction = np.where(wrong, generator.integers(classes, size=label.shape), label)
    label = np.where(generator.random(label.shape) < 0.05, 255, label)
    return prediction, label


def _sample(prediction: NDArray[Any], label: NDArray[Any], device: str) -> dict[str, Any]:
    fields = {'pred_sem_seg': prediction, 'gt_sem_seg': label}
    return {
        name: {'data': torch.from_numpy(values[None]).to(device)} for name, values in fields.items()
    }


def _process(metric: BaseMetric, sample: dict[str, Any]) -> Callable[[], BaseMetric]:
    def call() -> BaseMetric:
        metric.results.clear()
        metric.process({}, [sample])
        return metric

    return call


def _of_areas(stock: IoUMetric, ours: MeanIoUMetric) -> Mapping[str, float]:
    intersection, _, prediction, label = (areas.numpy() for areas in stock.results[0])
    matrix = add_sparse(ours.results, ours.num_classes)
    pairs = (
        (intersection, matrix.diagonal()),
        (prediction, matrix.sum(axis=0)),
        (label, matrix.sum(axis=1)),
    )
    return {LARGEST: max(float(np.abs(theirs - counts).max()) for theirs, counts in pairs)}


def _deciding(options: MetricOptions) -> list[Row]:
    """Logits of a 512-pixel model resized to the image's own size, and the class of each pixel."""
    pair = build_pair('T', options.config)
    height, width = options.image_size
    logits = 4 * draw_image(1, options.num_classes, height, width, device=options.device)
    target = (height * 5 // 4, width * 5 // 4)
    rows, _ = compare(
        [
            Candidate(name, _labels(model, logits, target))
            for name, model in ((STOCK, pair.stock), (OURS, pair.ours))
        ],
        of_labels,
        rounds=options.rounds,
        device=options.device,
        case=f'labels of {target[0]} x {target[1]} pixels from {options.num_classes} logits',
    )
    return rows


def _labels(model: Any, logits: torch.Tensor, target: tuple[int, int]) -> Callable[[], Any]:
    meta = dict(ori_shape=target, img_shape=tuple(logits.shape[2:]), padding_size=[0, 0, 0, 0])

    def call() -> torch.Tensor:
        with torch.no_grad():
            (sample,) = model.postprocess_result(logits, [SegDataSample(metainfo=meta)])
        return sample.pred_sem_seg.data

    return call
