"""Comparison of an exported file, run in its runtime, with the model that it was made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from mmseg.models import EncoderDecoder
from numpy.typing import NDArray
from torch import Tensor

from swinseg.errors import ExportError
from swinseg.exporting.graph import Graph, reference_logits, resized_scores
from swinseg.runtimes.base import OUTPUT_NAMES, Runtime

TOLERANCE = 1e-4
"""Largest difference of logits as a share of the largest logit, or of 1 where all are smaller."""

OPEN_SIZES = ((1, 128, 160), (2, 97, 61), (1, 20, 17), (3, 33, 150))
"""Batch, height and width of what a graph for all sizes is run on: also odd, and smaller than a window."""

SCALED_SIZES = ((1, 128, 160), (2, 97, 61))
"""The same of a graph that resizes images: fewer, for all become as large as the pipeline says."""

LABEL_LIMITS = {'float16': 0.01, 'bfloat16': 0.05, 'int8': 1.0}
"""Largest share of labels that may differ in half precision: about three times what was measured in PyTorch.

On the smooth images of a comparison that was up to 0.3% in float16 and 1.8% in bfloat16 of a Swin-T with random
weights, 0.05% and 0.3% of one trained on CamVid, and on photographs of that, with more borders, 0.2% and 1.1%.
Of int8 the mIoU is judged instead.
"""

_Result = TypeVar('_Result')


@dataclass(frozen=True)
class Case:
    """How far a file is from the model on one input.

    Attributes:
        size: batch, height, width.
        logits: largest difference of logits.
        allowed: largest that is allowed.
        scores: largest difference of confidence or probabilities; None where they are no output.
        labels: share of labels that differ; None where they are no output.
        wrong_labels: how many of them differ though the model's scores of the two classes are further apart than
            twice what is allowed, so that rounding cannot be the reason.
        limit: share of labels that may differ in half precision, instead of what is allowed; else None.
    """

    size: tuple[int, int, int]
    logits: float
    allowed: float
    scores: float | None
    labels: float | None
    wrong_labels: int
    limit: float | None = None

    @property
    def is_equal(self) -> bool:
        """Whether all differences are allowed; a NaN never is."""
        if self.limit is not None:
            assert self.labels is not None
            return self.labels <= self.limit and math.isfinite(self.logits)
        are_scores_equal = self.scores is None or self.scores <= self.allowed
        return self.logits <= self.allowed and are_scores_equal and not self.wrong_labels

    def __str__(self) -> str:
        """Return the figures."""
        batch, height, width = self.size
        text = f'{batch} x {height} x {width}: logits {self.logits:.1e}'
        if self.limit is None:
            text += f' of {self.allowed:.1e} allowed'
        if self.scores is not None:
            text += f', probabilities {self.scores:.1e}'
        if self.labels is not None:
            text += f', labels {100 * self.labels:.4f}%'
        if self.limit is not None:
            text += f' of {100 * self.limit:g}% allowed'
        return text


def compare(
    open_file: Callable[[], Runtime],
    graph: Graph,
    model: EncoderDecoder,
    *,
    sizes: Sequence[tuple[int, int, int]],
    name: str,
    dtype: str = 'float32',
    inputs: Sequence[Tensor] | None = None,
) -> list[Case]:
    """Run a file and the model on random inputs, and measure the differences.

    Args:
        open_file: opens it in its runtime.
        graph: that it was written from, which says what goes in and comes out.
        model: float32 on the CPU.
        sizes: batch, height and width of each input.
        name: of the runtime, for messages.
        dtype: that the file computes in. In half precision the images are smooth, as photographs are, and it is
            the share of other labels that is judged: in noise a model is sure of nothing.
        inputs: of these sizes, in the place of made-up ones.

    Raises:
        ExportError: the runtime cannot run the file, or a difference is too large.
    """
    limit = LABEL_LIMITS.get(dtype)
    example = graph.example if limit is None else graph.smooth_example
    if inputs is None:
        inputs = [example(*size, seed=seed) for seed, size in enumerate(sizes, 1)]
    arrays = [given.numpy() for given in inputs]
    logits = _in(name, lambda: open_file().logits(arrays))
    # Another one, so that not both forms of the file are in memory.
    runtime = open_file()
    cases = []
    for size, given, array, inside in zip(sizes, inputs, arrays, logits, strict=True):
        outputs = _in(name, partial(runtime.outputs, array))
        cases.append(_case(graph, model, given, inside, outputs, size, limit))
    wrong = [str(case) for case in cases if not case.is_equal]
    if wrong:
        raise ExportError(
            f'what was exported does not compute in {name} what the model does, and was removed; largest '
            f'differences at batch x height x width: {"; ".join(wrong)}; please report it with the output of '
            'swinseg env'
        )
    return cases


def _in(name: str, call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except Exception as error:  # Each runtime has errors of its own.
        reason = ' '.join(str(error).split())[:300]
        raise ExportError(
            f'{name} cannot run what was exported, which was removed: {reason}; try another version of it, or '
            'another opset'
        ) from error


@torch.no_grad()
def _case(
    graph: Graph,
    model: EncoderDecoder,
    given: Tensor,
    inside: NDArray[np.float32],
    outputs: Sequence[NDArray],
    size: tuple[int, int, int],
    limit: float | None,
) -> Case:
    logits = reference_logits(model, graph.normalized(given))
    allowed = TOLERANCE * max(1.0, float(logits.abs().max()))
    difference = _largest(torch.from_numpy(inside), logits)
    expected = graph.outputs_of(logits, graph.sizes(given))
    found = dict(zip(OUTPUT_NAMES[graph.output], map(torch.from_numpy, outputs), strict=True))
    wanted = dict(zip(OUTPUT_NAMES[graph.output], expected, strict=True))
    floats = [_largest(found[name], wanted[name]) for name in wanted if name != 'labels']
    share, wrong = None, 0
    if limit is not None and 'labels' not in wanted:
        for each in (found, wanted):
            each['labels'] = _most_probable(each['probabilities'], graph.threshold)
    if 'labels' in wanted:
        differs = found['labels'].long() != wanted['labels'].long()
        share = float(differs.float().mean())
        scores = resized_scores(graph, logits, graph.sizes(given))
        gap = _gap(scores, found['labels'].long(), graph.threshold)
        wrong = int((differs & (gap > 2 * allowed)).sum())
    return Case(size, difference, allowed, floats[0] if floats else None, share, wrong, limit)


def _largest(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float('inf')
    return float((found - expected).abs().max())


def _most_probable(probabilities: Tensor, threshold: float | None) -> Tensor:
    if probabilities.shape[1] == 1:
        assert threshold is not None
        return probabilities[:, 0] > threshold
    return probabilities.argmax(1)


def _gap(scores: Tensor, labels: Tensor, threshold: float | None) -> Tensor:
    """Return by how much the model prefers its own class to the one that the file has, (B, H, W)."""
    if scores.shape[3] == 1:
        assert threshold is not None
        return (scores.sigmoid()[..., 0] - threshold).abs()
    return scores.amax(3) - scores.gather(3, labels[..., None])[..., 0]
