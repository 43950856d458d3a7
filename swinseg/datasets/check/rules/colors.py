"""Findings about labels that are color pictures, with the table of their colors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swinseg.datasets.check.findings import Finding, percent
from swinseg.datasets.check.pair import PairFacts
from swinseg.datasets.labels.colors import MAX_COLORED_CLASSES
from swinseg.datasets.labels.map import Color

_SHOWN = 12
# Where edges are smoothed or pixels compressed, a color that stands for a class still covers this much.
_REAL = 0.002


@dataclass(frozen=True)
class ColorTable:
    """The colors of all picture labels of a split.

    Attributes:
        shares: RGB color -> share of the pixels, 0 to 1, black first and then as their numbers rise.
        mixed: there are many more colors, as smoothed edges and JPEG compression make them.
    """

    shares: dict[Color, float]
    mixed: bool


def color_table(facts: Sequence[PairFacts]) -> ColorTable | None:
    """Infer which colors stand for classes; None where no label is a picture."""
    masks = [pair.colors for pair in facts if pair.colors is not None]
    if not masks:
        return None
    pixels: Counter[Color] = Counter()
    for mask in masks:
        for (red, green, blue), count in zip(
            mask.colors.tolist(), mask.counts.tolist(), strict=True
        ):
            pixels[red, green, blue] += count
    mixed = len(pixels) > MAX_COLORED_CLASSES or any(
        mask.distinct > len(mask.counts) for mask in masks
    )
    total = pixels.total()
    shares = {color: pixels[color] / total for color in sorted(pixels)}
    if mixed:
        shares = {color: share for color, share in shares.items() if share >= _REAL}
    return ColorTable(shares, mixed)


def color_findings(
    split: str,
    facts: Sequence[PairFacts],
    *,
    palette: Sequence[Sequence[int]],
    is_whole: bool = True,
) -> list[Finding]:
    """Say which labels are pictures, and how to read them by their colors.

    Args:
        split: its name.
        facts: its pairs.
        palette: K RGB colors.
        is_whole: whether these are all labels; without, their table of colors is not whole either.
    """
    pictures = [pair for pair in facts if pair.colors is not None]
    return [
        *_pictures_without_rule(
            split,
            [pair for pair in pictures if pair.job.rule.colors is None],
            palette,
            others=sum(pair.label is not None for pair in facts),
            is_whole=is_whole,
        ),
        *_unknown_colors(
            split, [pair for pair in pictures if pair.job.rule.colors is not None], is_whole
        ),
    ]


def _unknown_colors(split: str, facts: Sequence[PairFacts], is_whole: bool) -> list[Finding]:
    """Say which labels have colors of no class although ``color_labels`` is set."""
    table = color_table(facts)
    if table is None:
        return []
    rule = facts[0].job.rule
    unknown = [
        list(color)
        for color in table.shares
        if color not in (rule.colors or ()) and color not in rule.ignore_colors
    ]
    problems = [p for pair in facts for p in pair.problems if p.kind == 'colors']
    sentence = problems[0].sentence
    if len(problems) > 1:
        sentence = f'{len(problems)} labels have colors of no class, the first: {sentence}'
    paths = tuple(problem.path for problem in problems)
    is_listed = is_whole and not table.mixed and len(unknown) <= _SHOWN
    paste = (f'ignore_colors={unknown}',) if is_listed else ()
    return [Finding('label-colors', 'error', split, sentence, paths, paste)]


def _pictures_without_rule(
    split: str,
    facts: Sequence[PairFacts],
    palette: Sequence[Sequence[int]],
    *,
    others: int,
    is_whole: bool,
) -> list[Finding]:
    """Say which labels are pictures where class indices are expected, as ``others`` labels have them."""
    table = color_table(facts)
    if table is None:
        return []
    paths = tuple(str(pair.job.label) for pair in facts)
    several = len(paths) > 1
    commonest = sorted(table.shares.items(), key=lambda item: -item[1])
    listed = [f'{list(color)} {percent(share)}' for color, share in commonest[:_SHOWN]]
    more = f' and {len(commonest) - _SHOWN} more' if len(commonest) > _SHOWN else ''
    sentence = (
        f'{len(paths)} labels are color pictures' if several else 'one label is a color picture'
    ) + f' instead of class indices ({paths[0]}{", ..." if several else ""})'
    if others:
        sentence += (
            f', unlike {others} others; export {"them" if several else "it"} as the others were'
        )
        return [Finding('color-masks', 'error', split, sentence, paths)]
    if table.mixed or not table.shares:
        sentence += (
            f', and colors between those of the classes show that edges were smoothed or pixels compressed '
            f'({", ".join(listed)}{more}); export them again without anti-aliasing in a lossless format'
        )
        return [Finding('color-masks', 'error', split, sentence, paths)]
    sentence += f' in {len(commonest)} colors ({", ".join(listed)}{more})'
    known = {tuple(color) for color in palette}
    if known.issuperset(table.shares):
        sentence += ', all of them in the palette; set color_labels=True'
        return [Finding('color-masks', 'error', split, sentence, paths, ('color_labels=True',))]
    if not is_whole:
        sentence += '; swinseg check lists the colors of all labels, with the setting'
        return [Finding('color-masks', 'error', split, sentence, paths)]
    colors = [list(color) for color in table.shares]
    sentence += (
        '; name the classes in the order of the colors and set color_labels=True with that palette'
    )
    names = [f'class_{index}' for index in range(len(colors))]
    paste = (f'color_labels=True, classes={names}, palette={colors}',)
    return [Finding('color-masks', 'error', split, sentence, paths, paste)]
