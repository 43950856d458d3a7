"""Segmenting image files one by one into label, colour and overlay PNGs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swinseg import files
from swinseg.datasets.errors import DataError
from swinseg.predictor import Predictor, PredictorError
from swinseg.segment.sources import Source


@dataclass
class Outcome:
    """What became of the images: the results by source, and one sentence for each that was
    skipped.
    """

    done: dict[Path, dict[str, Path]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)


def segment_images(
    predictor: Predictor,
    sources: Sequence[Source],
    out: str | os.PathLike[str],
    *,
    tta: bool = False,
    alpha: float = 0.5,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Segment images one by one and write label, colour and overlay PNGs.

    An image that cannot be read is skipped and the rest are done.

    Args:
        predictor: the model.
        sources: from :func:`find_images`.
        out: folder for the results.
        tta: average over the config's scales and flips.
        alpha: weight of the colours in the overlay.
        report: called with one line about each image.

    Raises:
        OutputError: a result cannot be written.
        PredictorError: ``tta`` without a ``tta_pipeline``.
    """
    if tta:
        predictor.require_tta()
    outcome = Outcome()
    for number, source in enumerate(sources, 1):
        progress = f'[{number}/{len(sources)}] {source.path}'
        try:
            result = predictor(source.path, tta=tta)
        except (DataError, PredictorError) as error:
            outcome.skipped[source.path] = str(error)
            report(f'{progress}: skipped: {error}')
            continue
        target = Path(out) / source.name
        outcome.done[source.path] = result.save(target.parent, target.name, alpha=alpha)
        largest = ', '.join(
            f'{name} {100 * share:.0f}%' for name, share in list(result.areas().items())[:3]
        )
        report(f'{progress}: {largest}')
    return outcome


def summary(outcome: Outcome, out: str | os.PathLike[str]) -> str:
    """Return one line: how many images were done and skipped, and where the results are."""
    done, skipped = len(outcome.done), len(outcome.skipped)
    line = f'{done} {"image" if done == 1 else "images"} segmented'
    if skipped:
        line += f', {skipped} skipped'
    return f'{line}; labels, colours and overlays are in {files.make_folder(out)}'
