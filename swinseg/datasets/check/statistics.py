"""Figures of a split: how often each class occurs, loss weights, channels, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swinseg.datasets.check.pair import PairFacts
from swinseg.datasets.labels.map import LabelRule, rule_tables

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassStatistics:
    """How often the K classes occur.

    Attributes:
        names: K names.
        pixels: (K,) of each class; a pixel may have several where the dataset has ``multi_label``.
        images: (K,) how many images have a pixel of the class.
        pixels_around: (K,) pixels of any class in the images that have the class.
        ignored: pixels that do not count.
        outside: pixels whose value is no class.
        counted: pixels that count: those of all classes, unless a pixel may have several or none.
    """

    names: tuple[str, ...]
    pixels: Counts
    images: Counts
    pixels_around: Counts
    ignored: int
    outside: int
    counted: int

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(K,) each class's share of the pixels that count, 0 to 1."""
        return self.pixels / max(1, self.counted)

    @property
    def ignored_share(self) -> float:
        """Share of all pixels that do not count, 0 to 1."""
        return self.ignored / max(1, self.counted + self.ignored + self.outside)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a pixel."""
        return tuple(name for name, count in zip(self.names, self.pixels, strict=True) if not count)

    def loss_weights(self) -> npt.NDArray[np.float64]:
        """Return (K,) weights for the loss by median frequency balancing.

        A class's frequency is its pixels over the pixels of the images that have it; its weight is the
        median frequency over its own. A class that does not occur gets 1. Eigen and Fergus, "Predicting
        Depth, Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional Architecture",
        ICCV 2015.
        """
        weights = np.ones(len(self.names))
        present = self.pixels > 0
        if present.any():
            frequencies = self.pixels[present] / self.pixels_around[present]
            weights[present] = np.median(frequencies) / frequencies
        return weights

    def gentle_loss_weights(self) -> npt.NDArray[np.float64]:
        """Return (K,) weights for the loss: one over the root of each class's share, 1 for the mean pixel.

        The rarest class gets tens of times the weight of the commonest, where median frequency balancing gives
        it hundreds. A class that does not occur gets 1.
        """
        weights = np.ones(len(self.names))
        present = self.pixels > 0
        if present.any():
            shares = self.shares[present] / self.shares.sum()
            weights[present] = shares**-0.5 / np.sqrt(shares).sum()
        return weights


def class_statistics(facts: Sequence[PairFacts], names: Sequence[str]) -> ClassStatistics:
    """Count the pixels of each class in the labels that could be read."""
    count = len(names)
    pixels, images, around = (np.zeros(count, np.int64) for _ in range(3))
    ignored = outside = counted = 0
    for pair in facts:
        if pair.label is None:
            continue
        indices, ignored_here, outside_here = classes_of(pair, count)
        ignored, outside = ignored + ignored_here, outside + outside_here
        pixels += indices
        images += indices > 0
        planes = pair.label.planes
        counted_here = int(indices.sum()) if planes is None else planes.counted
        around += np.where(indices > 0, counted_here, 0)
        counted += counted_here
    return ClassStatistics(tuple(names), pixels, images, around, ignored, outside, counted)


def classes_of(pair: PairFacts, count: int) -> tuple[Counts, int, int]:
    """Return what a label's raw values become.

    Args:
        pair: with a label that could be read.
        count: how many classes there are, K.

    Returns:
        (K,) pixels of each class, pixels that are ignored, and pixels whose value is no class.
    """
    assert pair.label is not None
    if pair.label.planes is not None:
        return pair.label.planes.pixels, pair.label.planes.ignored, 0
    table, allowed = rule_tables(pair.job.rule, 65536)
    values, counts = pair.label.values, pair.label.counts
    indices = table[values]
    is_class = allowed[values] & (indices < count)
    found = np.bincount(indices[is_class], counts[is_class], minlength=count).astype(np.int64)
    # Where the ignored index is also a class, its pixels are the class's.
    is_ignored = allowed[values] & ~is_class
    ignored = int(counts[is_ignored].sum()) + pair.label.without_data
    return found, ignored, int(counts[~allowed[values]].sum())


def values_seen(facts: Sequence[PairFacts], rule: LabelRule) -> dict[int, int]:
    """Return the raw values in the labels that follow ``rule``, ascending, with their pixels."""
    totals = np.zeros(65536, np.int64)
    for pair in facts:
        if pair.label is not None and pair.job.rule == rule:
            totals[pair.label.values] += pair.label.counts
    return {int(value): int(totals[value]) for value in np.flatnonzero(totals)}


@dataclass(frozen=True)
class ImageStatistics:
    """Sizes and colors of a split's images.

    Attributes:
        smallest: (width, height) of the image with the fewest pixels.
        median: (width, height), each the median.
        largest: (width, height) of the image with the most pixels.
        mean: of each channel over all pixels of all images, 0 to 255, RGB; None where the images differ in
            their number of channels, or have more than 8 bits of which nothing says what they mean.
        std: the standard deviation likewise.
    """

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def image_statistics(facts: Sequence[PairFacts]) -> ImageStatistics | None:
    """Return the figures of the images that could be read; None where there are none."""
    images = [pair.image for pair in facts if pair.image is not None]
    if not images:
        return None
    shapes = np.array([image.shape for image in images])
    areas = shapes.prod(axis=1)
    middle = np.median(shapes, axis=0)
    mean = std = None
    if len({len(image.mean or ()) for image in images}) == 1 and images[0].mean:
        counted = np.array([image.counted for image in images])
        weights = counted[:, None] / max(1, counted.sum())
        means, stds = (np.array([getattr(image, of) for image in images]) for of in ('mean', 'std'))
        over_all = (weights * means).sum(axis=0)
        # Law of total variance: that inside the images and that of their means.
        variance = (weights * (stds**2 + (means - over_all) ** 2)).sum(axis=0)
        mean, std = tuple(over_all.tolist()), tuple(np.sqrt(variance).tolist())
    return ImageStatistics(
        smallest=_width_height(shapes[areas.argmin()]),
        median=_width_height(middle),
        largest=_width_height(shapes[areas.argmax()]),
        mean=mean,
        std=std,
    )


def channel_order(means: Sequence[float]) -> str:
    """Return a remark on the order of an image's channels, which is that of the file where they are no colors."""
    return ' (RGB, 0 to 255)' if len(means) == 3 else ''


def _width_height(shape: npt.NDArray[Any]) -> tuple[int, int]:
    return int(shape[1]), int(shape[0])
