"""Search for the fewest layers to keep in float so that int8 costs no more accuracy than is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swinseg.exporting.quantizing.sensitivity import Sensitivity

MOST_ROUNDS = 6
"""Beside the one with all layers in int8."""


@dataclass(frozen=True)
class Round:
    """One file that was tried.

    Attributes:
        float_layers: names of the layers in float beside those that always are.
        drop: of the mIoU, in points.
    """

    float_layers: tuple[str, ...]
    drop: float

    def __str__(self) -> str:
        """Return the figures."""
        kept = f'{len(self.float_layers)} layers in float' if self.float_layers else 'all in int8'
        names = f' ({", ".join(self.float_layers)})' if self.float_layers else ''
        return f'{kept}: mIoU falls by {self.drop:.2f} points{names}'


def search(
    attempt: Callable[[Sequence[str]], float],
    rank: Callable[[], Sequence[Sensitivity]],
    *,
    max_drop: float,
    show: Callable[[Round], None] = lambda _: None,
) -> list[Round]:
    """Write int8 files, each with more layers in float, until one is good enough.

    Each round keeps as many layers, the worst for their cost first, as make up half of the error that the last one
    left: 1/2, 3/4, 7/8, ... of the sum.

    Args:
        attempt: writes the file with some layers in float and returns the drop of its mIoU, in points.
        rank: measures the layers, those to keep first; called where all in int8 is not good enough.
        max_drop: that is allowed, in points.
        show: called with each round.

    Returns:
        All rounds; the last one's file is there, whether good enough or not.
    """
    rounds: list[Round] = []

    def is_enough(layers: Sequence[str]) -> bool:
        rounds.append(Round(tuple(layers), attempt(layers)))
        show(rounds[-1])
        return rounds[-1].drop <= max_drop

    if is_enough(()):
        return rounds
    ranked = rank()
    for number in range(1, MOST_ROUNDS + 1):
        kept = _worst(ranked, 1 - 0.5**number)
        if kept != rounds[-1].float_layers and is_enough(kept):
            break
    return rounds


def _worst(ranked: Sequence[Sensitivity], share: float) -> tuple[str, ...]:
    """Return the first layers whose errors make up a share of all."""
    wanted = share * sum(each.error for each in ranked)
    kept, covered = [], 0.0
    for each in ranked:
        if covered >= wanted:
            break
        kept.append(each.layer)
        covered += each.error
    return tuple(kept)
