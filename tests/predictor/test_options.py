"""What is asked of a prediction, and values that cannot be asked for."""

import dataclasses

import pytest

from swinseg.predictor import PredictOptions, PredictorError


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(reject_below=2), 'reject_below is a probability and must lie between 0 and 1, but is 2'),
        (dict(reject_below=float('nan')), 'between 0 and 1, but is nan'),
        (dict(batch_size=0), 'batch_size must be at least 1, or None, but is 0'),
    ],
)  # fmt: skip
def test_options__outside_their_range(options, message):
    with pytest.raises(PredictorError, match=message):
        PredictOptions(**options)


def test_options__are_not_changed_but_replaced():
    options = PredictOptions(tta=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.tta = False
    assert dataclasses.replace(options, confidence=True) == PredictOptions(
        tta=True, confidence=True
    )
    with pytest.raises(PredictorError, match='between 0 and 1'):
        dataclasses.replace(options, reject_below=-1)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [({}, False), (dict(confidence=True), True), (dict(reject_below=0.0), True)],
)
def test_needs_confidence__to_return_it_or_to_reject_by_it(options, expected):
    assert PredictOptions(**options).needs_confidence == expected
