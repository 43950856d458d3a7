"""The table of what a model is exported to: how its file is named, written and run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from swinseg.errors import ExportError
from swinseg.exporting import onnx_file, openvino_file
from swinseg.exporting.graph import Graph
from swinseg.runtimes.base import Runtime
from swinseg.runtimes.metadata import Metadata
from swinseg.runtimes.onnx import OnnxRuntime
from swinseg.runtimes.openvino import OpenVino

TargetName = Literal['onnx', 'openvino']
DType = Literal['float32']


@dataclass(frozen=True)
class Settings:
    """What a writer is told beside the graph and its description.

    Attributes:
        size: height and width to fix, with a batch of 1; None leaves all three open.
        opset: of ONNX.
        dtype: that the graph computes in.
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
    """

    suffix: str
    runtime_name: str
    needs: tuple[str, ...]
    dtypes: tuple[str, ...]
    companion: Callable[[Path], Path] | None
    write: Callable[[Graph, Path, Metadata, Settings], int]
    runtime: Callable[..., Runtime]


def _write_onnx(graph: Graph, path: Path, metadata: Metadata, settings: Settings) -> int:
    return onnx_file.write(
        graph, path, size=settings.size, opset=settings.opset, metadata=metadata.for_onnx()
    )


def _write_openvino(graph: Graph, path: Path, metadata: Metadata, settings: Settings) -> int:
    onnx = path.with_suffix(TARGETS['onnx'].suffix)
    _write_onnx(graph, onnx, metadata, settings)
    # The graph, and its weights where they are in a file of their own.
    written = list(onnx.parent.iterdir())
    nodes = openvino_file.write(onnx, path, metadata=metadata.for_openvino())
    for file in written:
        file.unlink()
    return nodes


TARGETS: dict[str, Target] = {
    'onnx': Target(
        suffix='.onnx',
        runtime_name='ONNX Runtime',
        needs=('onnx', 'onnxruntime'),
        dtypes=('float32',),
        companion=lambda path: path.with_name(f'{path.name}.data'),
        write=_write_onnx,
        runtime=OnnxRuntime,
    ),
    'openvino': Target(
        suffix='.xml',
        runtime_name='OpenVINO',
        needs=('onnx', 'openvino'),
        dtypes=('float32',),
        companion=lambda path: path.with_suffix('.bin'),
        write=_write_openvino,
        runtime=OpenVino,
    ),
}
"""By the name that ``--to`` takes, which is that of the extra, too."""


def require_target(name: str) -> Target:
    """Return a target whose packages are installed, before a model is loaded for it.

    Raises:
        ExportError: there is no such target, or a package of it is not installed.
    """
    if name not in TARGETS:
        raise ExportError(f'to must be one of {", ".join(TARGETS)}, not {name!r}')
    target = TARGETS[name]
    missing = [package for package in target.needs if find_spec(package) is None]
    if missing:
        raise ExportError(
            f'exporting to {name} needs the package {missing[0]}; install it with: pip install "swinseg[{name}]"'
        )
    return target
