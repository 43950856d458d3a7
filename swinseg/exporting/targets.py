"""The table of what a model is exported to: how its file is named, written and run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch

from swinseg.errors import ExportError
from swinseg.exporting import onnx_file, openvino_file, torch_files
from swinseg.exporting.graph import Graph
from swinseg.exporting.quantizing import onnx_int8, openvino_int8
from swinseg.exporting.quantizing.int8 import Quantizer
from swinseg.runtimes.base import Runtime
from swinseg.runtimes.metadata import Metadata
from swinseg.runtimes.onnx import OnnxRuntime
from swinseg.runtimes.openvino import OpenVino
from swinseg.runtimes.torch_programs import PT2, TORCHSCRIPT, AotInductor, TorchExport, TorchScript

TargetName = Literal['onnx', 'openvino', 'torch-export', 'torchscript', 'aotinductor']
DType = Literal['float32', 'float16', 'bfloat16', 'int8']
DTYPES: tuple[DType, ...] = get_args(DType)
_FLOATS = ('float32', 'float16', 'bfloat16')


@dataclass(frozen=True)
class Settings:
    """What a writer is told beside the graph and its description.

    Attributes:
        size: height and width to fix, with a batch of 1; None leaves all three open.
        opset: of ONNX.
        dtype: that the graph computes in, or the runtime where it decides that.
    """

    size: tuple[int, int] | None
    opset: int
    dtype: DType


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        suffix: of its name.
        runtime_name: what runs it, for messages.
        needs: packages; that of the runtime last.
        dtypes: that it is written in.
        companion: what holds its weights beside it, or may do so; None where nothing does.
        write: writes a graph to a path whose folder is empty, and returns the number of nodes.
        runtime: opens a path; it takes ``device`` and ``threads``, too.
        quantizer: writes it in int8; None where nothing does.
        quantizer_needs: packages for that, beside the others.
    """

    suffix: str
    runtime_name: str
    needs: tuple[str, ...]
    dtypes: tuple[str, ...]
    companion: Callable[[Path], Path] | None
    write: Callable[[Graph, Path, Metadata, Settings], int]
    runtime: Callable[..., Runtime]
    quantizer: Quantizer | None = None
    quantizer_needs: tuple[str, ...] = ()


def _in_dtype(graph: Graph, settings: Settings) -> Graph:
    return graph.in_dtype(getattr(torch, settings.dtype))


def _write_onnx(graph: Graph, path: Path, metadata: Metadata, settings: Settings) -> int:
    return onnx_file.write(
        _in_dtype(graph, settings),
        path,
        size=settings.size,
        opset=settings.opset,
        metadata=metadata.for_onnx(),
    )


def _write_openvino(graph: Graph, path: Path, metadata: Metadata, settings: Settings) -> int:
    if settings.dtype == 'bfloat16' and not openvino_file.computes_bfloat16():
        raise ExportError(
            'OpenVINO does not compute in bfloat16 on this processor, so that it cannot be compared here; export '
            "it with dtype='float16' (--dtype float16)"
        )
    onnx = path.with_suffix(TARGETS['onnx'].suffix)
    _write_onnx(graph, onnx, metadata, dataclasses.replace(settings, dtype='float32'))
    # The graph, and its weights where they are in a file of their own.
    written = list(onnx.parent.iterdir())
    nodes = openvino_file.write(
        onnx, path, is_half=settings.dtype != 'float32', metadata=metadata.for_openvino()
    )
    for file in written:
        file.unlink()
    return nodes


def _torch_target(
    runtime_name: str, suffix: str, write: Callable[..., int], runtime: Callable[..., Runtime]
) -> Target:
    """Return the target of a writer of :mod:`swinseg.exporting.torch_files`."""

    def adapted(graph: Graph, path: Path, metadata: Metadata, settings: Settings) -> int:
        entries = metadata.for_onnx()
        return write(_in_dtype(graph, settings), path, size=settings.size, metadata=entries)

    return Target(
        suffix=suffix,
        runtime_name=runtime_name,
        needs=(),
        dtypes=_FLOATS,
        companion=None,
        write=adapted,
        runtime=runtime,
    )


TARGETS: dict[str, Target] = {
    'onnx': Target(
        suffix='.onnx',
        runtime_name='ONNX Runtime',
        needs=('onnx', 'onnxruntime'),
        # ONNX Runtime has no kernels in bfloat16 for the CPU.
        dtypes=('float32', 'float16', 'int8'),
        companion=lambda path: path.with_name(f'{path.name}.data'),
        write=_write_onnx,
        runtime=OnnxRuntime,
        quantizer=onnx_int8.quantize,
    ),
    'openvino': Target(
        suffix='.xml',
        runtime_name='OpenVINO',
        needs=('onnx', 'openvino'),
        dtypes=DTYPES,
        companion=lambda path: path.with_suffix('.bin'),
        write=_write_openvino,
        runtime=OpenVino,
        quantizer=openvino_int8.quantize,
        quantizer_needs=('nncf',),
    ),
    'torch-export': _torch_target('torch.export', PT2, torch_files.write_torch_export, TorchExport),
    'torchscript': _torch_target(
        'TorchScript', TORCHSCRIPT, torch_files.write_torchscript, TorchScript
    ),
    'aotinductor': _torch_target('AOTInductor', PT2, torch_files.write_aotinductor, AotInductor),
}
"""By the name that ``--to`` takes, which is that of the extra, too, where there is one."""


def require_target(name: str, dtype: str) -> Target:
    """Return a target whose packages are installed, before a model is loaded for it.

    Raises:
        ExportError: there is no such target, it has no such type, or a package for it is not installed.
    """
    if name not in TARGETS:
        raise ExportError(f'to must be one of {", ".join(TARGETS)}, not {name!r}')
    target = TARGETS[name]
    needs = target.needs if dtype != 'int8' else (*target.needs, *target.quantizer_needs)
    missing = [package for package in needs if find_spec(package) is None]
    if missing:
        raise ExportError(
            f'exporting to {name} needs the package {missing[0]}; install it with: pip install "swinseg[{name}]"'
        )
    return target
