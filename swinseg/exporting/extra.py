"""Check that the packages of the extras ``onnx`` and ``openvino`` are there."""

from __future__ import annotations

from importlib.util import find_spec

from swinseg.errors import ExportError

NEEDS = {'onnx': ('onnx', 'onnxruntime'), 'openvino': ('onnx', 'openvino')}
"""The packages of each target; that of its runtime last."""


def require_extra(target: str) -> None:
    """Make sure that the packages of a target are installed, before a model is loaded for it.

    Raises:
        ExportError: one of them is not.
    """
    missing = [name for name in NEEDS[target] if find_spec(name) is None]
    if missing:
        raise ExportError(
            f'exporting to {target} needs the package {missing[0]}; install it with: '
            f'pip install "swinseg[{target}]"'
        )
