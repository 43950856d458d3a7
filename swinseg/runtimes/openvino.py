"""OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swinseg.runtimes.base import LOGITS_NAME


class OpenVino:
    """A written file in OpenVINO on the CPU, in float32.

    Args:
        path: of the ``.xml`` file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._compiled = _compiled(path)

    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Run the file as it is."""
        results = self._compiled([given])
        return [results[i].copy() for i in range(len(self._compiled.outputs))]

    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the scores inside the graph for each input: the same file with one more output."""
        compiled = _compiled(self.path, LOGITS_NAME)
        return [compiled([given])[LOGITS_NAME].copy() for given in inputs]


def _compiled(path: Path, *more_outputs: str) -> Any:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    if more_outputs:
        model.add_outputs(list(more_outputs))
    settings = {
        'INFERENCE_PRECISION_HINT': 'f32',
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
    }
    return core.compile_model(model, 'CPU', settings)
