"""The label ids of Cityscapes (Cordts et al., 2016)."""

from __future__ import annotations

TRAIN_IDS: dict[int, int] = dict(
    zip((7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33), range(19), strict=True)
)
"""Label id -> index among the 19 classes that are evaluated; the other ids, 0 to 33, are ignored."""

LAST_ID = 33
