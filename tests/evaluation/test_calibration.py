"""Calibration against the definition, pixel by pixel in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.evaluation.calibration import calibration_counts


def expected_error(confidence, is_right, bins):
    """Equation 3 of Guo et al., with the sets B_m = ((m - 1) / M, m / M]."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = [
            i
            for i, value in enumerate(confidence)
            if (m - 1) / bins < value <= m / bins or (m == 1 and value == 0)
        ]
        if inside:
            accuracy = sum(bool(is_right[i]) for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 300), bins=st.sampled_from([1, 10, 15]))
def test_expected_error__equals_the_definition(seed, count, bins):
    rng = np.random.default_rng(seed)
    confidence = rng.random(count).astype(np.float32)
    is_right = rng.random(count) < confidence**2
    found = calibration_counts(confidence, is_right, bins=bins)
    assert found.pixels.sum() == count
    exact = expected_error(confidence.astype(np.float64).tolist(), is_right, bins)
    assert found.expected_error == pytest.approx(exact, abs=1e-12)


def test_calibration_counts__ends_of_bins_belong_to_the_lower_one():
    confidence = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    found = calibration_counts(confidence, np.array([1, 0, 1, 0, 1], bool), bins=4)
    assert found.pixels.tolist() == [2, 1, 1, 1]
    assert found.accuracy.tolist() == [0.5, 1, 0, 1]
    assert found.confidence.tolist() == [0.125, 0.5, 0.75, 1]


def test_calibration_counts__parts_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    confidence, is_right = rng.random(1000), rng.random(1000) < 0.7
    whole = calibration_counts(confidence, is_right)
    parts = calibration_counts(confidence[:300], is_right[:300]) + calibration_counts(
        confidence[300:], is_right[300:]
    )
    np.testing.assert_array_equal(parts.pixels, whole.pixels)
    assert parts.expected_error == pytest.approx(whole.expected_error, abs=1e-12)


def test_expected_error__is_undefined_without_pixels():
    nothing = calibration_counts(np.empty(0), np.empty(0, bool))
    assert np.isnan(nothing.expected_error)
    assert np.isnan(nothing.accuracy).all()
