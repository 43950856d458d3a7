"""What all runtimes have in common: what goes in and out of an exported file, and by which names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Input = Literal['tensor', 'image']
Output = Literal['labels', 'confidence', 'probabilities']
INPUTS: tuple[str, ...] = get_args(Input)
OUTPUTS: tuple[str, ...] = get_args(Output)

INPUT_NAME = 'image'
LOGITS_NAME = 'logits'
"""Of the scores inside the graph, by which they are found; they are no output of the file."""

OUTPUT_NAMES: dict[str, tuple[str, ...]] = {
    'labels': ('labels',),
    'confidence': ('labels', 'confidence'),
    'probabilities': ('probabilities',),
}


class Runtime(Protocol):
    """A written file that can be run."""

    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Return the outputs of the file for an input."""

    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the (B, K, h, w) scores inside the file for each of several inputs."""
