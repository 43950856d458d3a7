"""A predictor whose network is compiled: the same probabilities, and a bounded number of graphs."""

import numpy as np
import pytest

from swinseg import Predictor

# Traced as inductor's, and then run as it is.
TRACED = dict(backend='eager')


@pytest.mark.full
def test_predictor__twenty_sizes(checkpoint, compiled_graphs):
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 255, (32 + 8 * (i % 10), 48 + 8 * (i // 10), 3), np.uint8)
        for i in range(20)
    ]
    eager, compiled = (
        Predictor.from_checkpoint(checkpoint, device='cpu', compile=compile)
        for compile in (False, TRACED)
    )
    for image in images * 2:
        found, expected = (each(image, probabilities=True) for each in (compiled, eager))
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    # Backbone and head, for four sizes each; sixteen are computed as they are.
    assert compiled_graphs['stats']['unique_graphs'] == 8
    assert not compiled_graphs['graph_break']
