"""Findings about labels that are colour pictures, with the table of their colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swinseg.datasets.check.findings import Finding, percent
from swinseg.datasets.check.pair import PairFacts

Color = tuple[int, int, int]

_MOST_CLASSES = 255
_SHOWN = 12
# Where edges are smoothed or pixels compressed, a colour that stands for a class still covers this much.
_REAL = 0.002


@dataclass(frozen=True)
class ColorTable:
    """The colours of all picture labels of a split.

    Attributes:
        shares: RGB colour -> share of the pixels, 0 to 1, black first and then as their numbers rise.
        mixed: there are many more colours, as smoothed edges and JPEG compression make them.
    """

    shares: dict[Color, float]
    mixed: bool


def color_table(facts: Sequence[PairFacts]) -> ColorTable | None:
    """Infer which colours stand for classes; None where no label is a picture."""
    masks = [pair.colors for pair in facts if pair.colors is not None]
    if not masks:
        return None
    pixels: Counter[Color] = Counter()
    for mask in masks:
        for (red, green, blue), count in zip(
            mask.colors.tolist(), mask.counts.tolist(), strict=True
        ):
            pixels[red, green, blue] += count
    mixed = len(pixels) > _MOST_CLASSES or any(mask.distinct > len(mask.counts) for mask in masks)
    total = pixels.total()
    shares = {color: pixels[color] / total for color in sorted(pixels)}
    if mixed:
        shares = {color: share for color, share in shares.items() if share >= _REAL}
    return ColorTable(shares, mixed)


def color_findings(
    split: str, facts: Sequence[PairFacts], *, palette: Sequence[Sequence[int]]
) -> list[Finding]:
    """Say which labels are pictures, and how to read them by their colours."""
    table = color_table(facts)
    if table is None:
        return []
    paths = tuple(str(pair.job.label) for pair in facts if pair.colors is not None)
    several = len(paths) > 1
    commonest = sorted(table.shares.items(), key=lambda item: -item[1])
    listed = [f'{list(color)} {percent(share)}' for color, share in commonest[:_SHOWN]]
    more = f' and {len(commonest) - _SHOWN} more' if len(commonest) > _SHOWN else ''
    sentence = (
        f'{len(paths)} labels are colour pictures' if several else 'one label is a colour picture'
    ) + f' instead of class indices ({paths[0]}{", ..." if several else ""})'
    if table.mixed or not table.shares:
        sentence += (
            f', and colours between those of the classes show that edges were smoothed or pixels compressed '
            f'({", ".join(listed)}{more}); export them again without anti-aliasing in a lossless format'
        )
        return [Finding('colour-masks', 'error', split, sentence, paths)]
    sentence += f' in {len(commonest)} colours ({", ".join(listed)}{more})'
    known = {tuple(color) for color in palette}
    if known.issuperset(table.shares):
        sentence += ', all of them in the palette; set color_labels=True'
        return [Finding('colour-masks', 'error', split, sentence, paths, ('color_labels=True',))]
    colors = [list(color) for color in table.shares]
    sentence += (
        '; name the classes in the order of the colours and set color_labels=True with that palette, or '
        'convert the labels to class indices'
    )
    names = [f'class_{index}' for index in range(len(colors))]
    paste = (f'color_labels=True, classes={names}, palette={colors}',)
    return [Finding('colour-masks', 'error', split, sentence, paths, paste)]
