"""Tests of ``swinseg.segment.images``."""

from pathlib import Path

import pytest

from swinseg.segment.images import Outcome, summary


@pytest.mark.parametrize(
    ('done', 'skipped', 'expected'),
    [(1, 0, '1 image segmented;'), (2, 0, '2 images segmented;'), (0, 1, '0 images segmented, 1 skipped;')],
)  # fmt: skip
def test_summary__counts_and_says_where(tmp_path, done, skipped, expected):
    outcome = Outcome(
        done={Path(str(i)): {} for i in range(done)},
        skipped={Path(str(i)): 'bad' for i in range(skipped)},
    )
    line = summary(outcome, tmp_path / 'out')
    assert line.startswith(expected)
    assert line.endswith(str(tmp_path / 'out'))
