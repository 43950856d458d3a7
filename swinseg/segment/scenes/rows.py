"""From a scene's pixels to its labels, band of rows by band of rows.

Shapes: H, W = size of the scene; C = bands; K = classes; R = rows that are finished at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinseg.datasets.labels.dtype import label_tensor_dtype
from swinseg.inference import RasterImage, slide
from swinseg.inference.prefetch import ReadAhead
from swinseg.inference.tiling import bands
from swinseg.models.postprocess import predict_labels, threshold_of
from swinseg.predictor import PredictOptions, Predictor
from swinseg.predictor.rejection import reject
from swinseg.segment.scenes.overview import Naming
from swinseg.segment.scenes.windows import Windows, Workload

CERTAIN = 255
"""What stands for a confidence of 1, as in what ``Segmentation.save`` writes."""

NO_CONFIDENCE = 0
"""What pixels without data have; no label is the most probable one with a confidence of 0."""


class Planes:
    """What is made of finished scores: labels, and confidence from 1 to 255 where it is wanted.

    Args:
        predictor: the model.
        naming: of the labels.
        options: how they were predicted; with ``tta`` the scores are probabilities.
    """

    def __init__(self, predictor: Predictor, naming: Naming, options: PredictOptions) -> None:
        self._threshold = threshold_of(predictor.model)
        self._num_classes = len(predictor.classes)
        self._dtype = label_tensor_dtype(len(naming.names), reserved=1)
        self._options = options
        self.without_data = [naming.nodata, *([NO_CONFIDENCE] if options.confidence else [])]

    def __call__(self, scores: Tensor) -> Tensor:
        """Turn (K, R, W) scores into (1 or 2, R, W) whole numbers."""
        options = self._options
        labels, confidence = predict_labels(
            scores,
            threshold=self._threshold,
            are_probabilities=options.tta,
            with_confidence=options.needs_confidence,
        )
        if confidence is not None and options.reject_below is not None:
            labels = reject(labels, confidence, options.reject_below, self._num_classes)
        planes = [labels.to(self._dtype)]
        if confidence is not None and options.confidence:
            planes.append((confidence * CERTAIN).round().clamp_(min=1).to(self._dtype))
        return torch.stack(planes)


def finished_rows(
    score: Callable[[Tensor], Tensor],
    image: RasterImage,
    windows: Windows,
    workload: Workload,
    planes_of: Planes,
    *,
    first_row: int,
    end_row: int | None = None,
) -> Generator[tuple[int, NDArray[np.integer]], None, None]:
    """Yield the first row of a band, and its planes, (1 or 2, R, W), in which pixels without data are marked.

    Args:
        score: from windows to scores.
        image: the scene.
        windows: how they lie.
        workload: how many are computed at a time.
        planes_of: from scores to planes.
        first_row: of the first band.
        end_row: end of the rows that are wanted, where a band of windows is finished; None for all.
    """
    height, width = image.shape
    end_row = height if end_row is None else end_row

    def read(top: int, bottom: int) -> tuple[Tensor, NDArray[np.bool_]]:
        # PyTorch takes arrays that may be written to.
        pixels = np.require(image.read(top, bottom, 0, width), requirements=['C', 'W'])
        return torch.from_numpy(pixels).permute(2, 0, 1), image.valid(top, bottom, 0, width)

    calls = [
        (band.top, band.bottom)
        for band in bands(height, windows.size[0], windows.stride[0])
        if band.bottom > first_row and band.top < end_row
    ]
    with ReadAhead(read, calls) as ahead:
        strips = _Strips(image.shape, ahead)
        for first, planes in slide(
            score, strips, window=windows.size, stride=windows.stride, blend=windows.blend,
            batch_size=workload.batch_size, score_dtype=workload.score_dtype, first_row=first_row,
            reduce=planes_of,
        ):  # fmt: skip
            values = planes.cpu().numpy()
            missing = ~strips.valid_rows(first, first + values.shape[1])
            for plane, mark in zip(values, planes_of.without_data, strict=True):
                plane[missing] = mark
            yield first, values
            if first + values.shape[1] >= end_row:
                return


class _Strips:
    """A scene as ``slide`` asks for it: a band of rows of the whole width after the other."""

    def __init__(
        self,
        shape: tuple[int, int],
        next_strip: Callable[[int, int], tuple[Tensor, NDArray[np.bool_]]],
    ) -> None:
        self.shape = shape
        self._next_strip = next_strip
        self._top = 0
        self._pixels: Tensor
        self._valid: NDArray[np.bool_]

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Go on to the next band, and return where it has data."""
        self._pixels, self._valid = self._next_strip(top, bottom)
        self._top = top
        return self._valid[:, left:right]

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """Return the pixels of the band that ``valid`` was asked for, (C, R, W)."""
        assert top == self._top
        return self._pixels[:, : bottom - top, left:right]

    def valid_rows(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return where some rows of the present band have data."""
        return self._valid[first - self._top : last - self._top]
