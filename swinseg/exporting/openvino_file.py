"""OpenVINO's files, made of ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swinseg.files import OutputError
from swinseg_runtime.openvino_core import openvino_core


def computes_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor."""
    return 'BF16' in openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


def write(
    onnx_file: Path, path: Path, *, is_half: bool = False, metadata: Mapping[str, Mapping[str, str]]
) -> int:
    """Write an ONNX file's graph to ``path``, ``.xml``, and its weights beside it, ``.bin``.

    Args:
        onnx_file: in float32.
        path: ``.xml``.
        is_half: whether the weights are stored in float16 instead of float32.
        metadata: sections of ``rt_info``.

    Returns:
        The number of operations.

    Raises:
        OutputError: OpenVINO could not write all of it.
    """
    # Not convert_model, to which a comma in a path is the end of it.
    model = openvino_core().read_model(onnx_file)
    for section, entries in metadata.items():
        for key, value in entries.items():
            model.set_rt_info(value, [section, key])
    save(model, path, is_half=is_half)
    return len(model.get_ops())


def save(model: Any, path: Path, *, is_half: bool = False) -> None:
    """Write a model with its weights as they are, or in float16.

    Raises:
        OutputError: OpenVINO could not write all of it.
    """
    import openvino

    try:
        openvino.save_model(model, path, compress_to_fp16=is_half)
    except RuntimeError as error:  # Its streams do not tell why.
        raise OutputError(
            f'OpenVINO cannot write {path.name}, mostly because the disk is full; make room, or name '
            'another folder'
        ) from error
