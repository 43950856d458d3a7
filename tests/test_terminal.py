"""Terminal output: durations."""

from __future__ import annotations

import pytest

from swinseg.terminal import format_duration


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [(0, '0:00:00'), (59.6, '0:01:00'), (3725.2, '1:02:05'), (360000, '100:00:00')],
)
def test_format_duration__cases(seconds, expected):
    assert format_duration(seconds) == expected
