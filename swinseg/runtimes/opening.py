"""Which runtime an exported file is for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from swinseg.errors import ExportedFileError
from swinseg.runtimes.base import Runtime
from swinseg.runtimes.onnx import OnnxRuntime
from swinseg.runtimes.openvino import OpenVino
from swinseg.runtimes.torch_programs import PT2, TORCHSCRIPT, TorchScript, open_pt2

RUNTIMES: dict[str, Callable[..., Runtime]] = {
    '.onnx': OnnxRuntime,
    '.xml': OpenVino,
    PT2: open_pt2,
    TORCHSCRIPT: TorchScript,
}
"""What opens the files of a suffix."""


def is_exported(name: str | os.PathLike[str]) -> bool:
    """Return whether a model's name is that of an exported file, and not of a checkpoint."""
    return Path(name).suffix.lower() in RUNTIMES


def open_exported(
    path: str | os.PathLike[str],
    *,
    device: str = 'auto',
    threads: int | None = None,
    providers: Sequence[str] | None = None,
    dtype: str = 'float32',
) -> Runtime:
    """Open an exported file, whose scores are then at hand.

    Args:
        path: ``.onnx``, ``.xml`` of OpenVINO, ``.pt2`` of ``torch.export`` or AOTInductor, or ``.torchscript``.
        device: ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where the runtime has one.
        threads: of the processor; None for as many as PyTorch has.
        providers: ONNX Runtime's execution providers or OpenVINO's devices, in the place of ``device``.
        dtype: in which OpenVINO computes; other files say it themselves.

    Raises:
        ExportedFileError: there is no such file, it is damaged or not swinseg's, or its runtime, the device or the
            precision is not there.
    """
    if not is_exported(path):
        raise ExportedFileError(
            f'expected a file that ends in {" or ".join(RUNTIMES)}, as swinseg export writes it, found '
            f'{os.fspath(path)}'
        )
    options: dict[str, Any] = dict(device=device, providers=providers, dtype=dtype)
    runtime = RUNTIMES[Path(path).suffix.lower()](
        path, threads=torch.get_num_threads() if threads is None else threads, **options
    )
    if runtime.metadata is None:  # Asking opens it.
        raise ExportedFileError(f'{os.fspath(path)} says nothing of itself; export it again')
    return runtime
