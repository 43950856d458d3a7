"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swinseg.runtimes.base import INPUT_NAME, LOGITS_NAME


class OnnxRuntime:
    """A written file in ONNX Runtime on the CPU.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = _session(path)

    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Run the file as it is."""
        outputs: Sequence[NDArray] = self._session.run(None, {INPUT_NAME: given})
        return outputs

    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the scores inside the graph for each input: the same file with one more output."""
        import onnx

        proto = onnx.load(self.path, load_external_data=False)
        is_float = onnx.TensorProto.FLOAT
        proto.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS_NAME, is_float, None))
        # Beside the file, where its external data are found.
        with_logits = self.path.with_name('with_logits.onnx')
        try:
            with_logits.write_bytes(proto.SerializeToString())
            session = _session(with_logits)
            return [session.run([LOGITS_NAME], {INPUT_NAME: given})[0] for given in inputs]
        finally:
            with_logits.unlink(missing_ok=True)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
