"""Differences between two results, as named numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from swinseg.inference.tiling import final_ends, window_starts

LARGEST = 'largest difference'
SIZE = 'largest value'
AGREEMENT = 'same class (%)'


def largest_difference(reference: Tensor, result: Tensor) -> float:
    """Return the largest absolute difference of two tensors of one shape, in float64."""
    assert reference.shape == result.shape, (reference.shape, result.shape)
    difference = reference.cpu().double() - result.cpu().double()
    return float(difference.abs().max()) if difference.numel() else 0.0


def relative_difference(reference: Tensor, result: Tensor) -> float:
    """Return the largest absolute difference as a share of the largest absolute value of the reference."""
    return largest_difference(reference, result) / float(reference.abs().max())


def of_tensors(
    reference: Tensor | Sequence[Tensor], result: Tensor | Sequence[Tensor]
) -> Mapping[str, float]:
    """Compare tensors, or lists of them: the largest difference, and the size of the reference beside it."""
    references = [reference] if isinstance(reference, Tensor) else list(reference)
    results = [result] if isinstance(result, Tensor) else list(result)
    pairs = list(zip(references, results, strict=True))
    return {
        LARGEST: max(largest_difference(a, b) for a, b in pairs),
        SIZE: max(float(a.abs().max()) for a, _ in pairs),
    }


def of_logits(reference: Tensor, result: Tensor) -> Mapping[str, float]:
    """Compare (B, K, H, W) logits: the largest difference and how many pixels keep their class."""
    same = reference.argmax(1).cpu() == result.float().argmax(1).cpu()
    return {**of_tensors(reference, result), AGREEMENT: 100 * float(same.double().mean())}


def of_labels(reference: Tensor, result: Tensor) -> Mapping[str, float]:
    """Compare label maps: how many pixels have the same class."""
    assert reference.shape == result.shape, (reference.shape, result.shape)
    same = torch.as_tensor(reference).cpu() == torch.as_tensor(result).cpu()
    return {AGREEMENT: 100 * float(same.double().mean())}


def of_first_window(
    scores: Tensor, labels: Tensor, *, shape: tuple[int, int], stride: int
) -> Mapping[str, float]:
    """Compare the labels of an image with the classes of its first window, where no other window reaches.

    Args:
        scores: (K, h, w) of the window at the top left.
        labels: (H, W), or at least the h x w at the top left of them.
        shape: H, W.
        stride: distance of neighboring windows.
    """
    rows, columns = (
        slice(final_ends(window_starts(length, size, stride), length)[0])
        for length, size in zip(shape, scores.shape[1:], strict=True)
    )
    return of_labels(scores.argmax(0)[rows, columns], labels[rows, columns])
