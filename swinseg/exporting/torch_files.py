"""Files of PyTorch: a program of ``torch.export``, TorchScript, and a library that AOTInductor compiles."""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swinseg.errors import ExportError
from swinseg.exporting.graph import Graph
from swinseg.exporting.plain_conv import direct_convolutions
from swinseg.exporting.sizes import fixed_sizes
from swinseg.runtimes.torch_programs import EXTRA
from swinseg.versions import has_cpp_compiler


def write_torch_export(
    graph: Graph, path: Path, *, size: tuple[int, int] | None, metadata: Mapping[str, str]
) -> int:
    """Write a graph as a program of ``torch.export``, whose last output is the logits.

    Args:
        graph: in evaluation mode.
        path: ``.pt2``.
        size: height and width to fix, with a batch of 1; None leaves all three open.
        metadata: what is said about it.

    Returns:
        The number of operations.

    Raises:
        ExportError: ``torch.export`` cannot capture a layer.
    """
    program = _captured(graph, size)
    torch.export.save(program, path, extra_files={EXTRA: json.dumps(dict(metadata))})
    return _operations(program)


def write_aotinductor(
    graph: Graph, path: Path, *, size: tuple[int, int] | None, metadata: Mapping[str, str]
) -> int:
    """Compile a graph for this machine's processor, and write the library; else as :func:`write_torch_export`.

    Raises:
        ExportError: there is no C++ compiler, or a layer cannot be captured or compiled.
    """
    _require_compiler()
    program = _captured(graph, size)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={'aot_inductor.metadata': dict(metadata)},
            )
    except OSError:
        raise
    except Exception as error:  # Of many classes.
        raise _cannot('compile the model with AOTInductor', error) from error
    return _operations(program)


def write_torchscript(
    graph: Graph, path: Path, *, size: tuple[int, int] | None, metadata: Mapping[str, str]
) -> int:
    """Write a graph as TorchScript, ``.torchscript``; else as :func:`write_torch_export`."""
    with warnings.catch_warnings(), torch.no_grad():
        # About its own age, and about sizes that become constants where they are to.
        warnings.simplefilter('ignore')
        try:
            # Winograd's kernels, which other runtimes transform when they load them, would be at each run.
            with direct_convolutions(), fixed_sizes() if size else contextlib.nullcontext():
                program = torch.jit.trace(graph, _example(graph, size), check_trace=False)
        except Exception as error:  # Of many classes.
            raise _cannot('trace the model', error) from error
        torch.jit.save(program, path, _extra_files={EXTRA: json.dumps(dict(metadata))})
    _leave_out_sources(path)
    return sum(1 for _ in program.inlined_graph.nodes())


def _leave_out_sources(path: Path) -> None:
    """Leave out of a TorchScript file which line of code, by its path on this machine, each step is from."""
    with_sources = path.with_name(f'{path.name}.sources')
    path.rename(with_sources)
    with zipfile.ZipFile(with_sources) as before, zipfile.ZipFile(path, 'w') as after:
        for entry in before.infolist():
            if not entry.filename.endswith('.debug_pkl'):
                after.writestr(entry.filename, before.read(entry))
    with_sources.unlink()


def _captured(graph: Graph, size: tuple[int, int] | None) -> Any:
    config: Any = importlib.import_module('torch.fx.experimental._config')

    if not size and graph.scale is not None and graph.scale.keep_ratio:
        raise ExportError(
            'torch.export cannot follow the size of an image that is resized in the graph with its ratio kept; '
            'give one size (--fixed-size), or resize outside'
        )
    if not size and not hasattr(config, 'backed_size_oblivious'):
        raise ExportError(
            f'PyTorch {torch.__version__} captures no graph that takes one image as well as several; '
            'install a newer one, or give a size (--fixed-size)'
        )
    batch, height, width = (torch.export.Dim(name, min=1) for name in ('batch', 'height', 'width'))
    axes = (1, 2) if graph.input == 'image' else (2, 3)
    is_dynamic = {0: batch, axes[0]: height, axes[1]: width}
    given = (_example(graph, size),)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            if size:
                with fixed_sizes():
                    program = torch.export.export(graph, given, strict=False)
            else:
                # Otherwise a size of 1 is another program.
                with config.patch(backed_size_oblivious=True):
                    program = torch.export.export(
                        graph, given, dynamic_shapes=(is_dynamic,), strict=False
                    )
    except Exception as error:  # Of many classes.
        raise _cannot('capture the model', error) from error
    # The lines of code that each step is from, with paths of this machine.
    for module in program.graph_module.modules():
        for node in getattr(module, 'graph', torch.fx.Graph()).nodes:
            node.meta.pop('stack_trace', None)
    return program


def _example(graph: Graph, size: tuple[int, int] | None) -> Tensor:
    return graph.example(1, *size) if size else graph.example(2, 45, 70)


def _operations(program: Any) -> int:
    return sum(node.op == 'call_function' for node in program.graph.nodes)


def _require_compiler() -> None:
    if not has_cpp_compiler():
        raise ExportError(
            'AOTInductor needs a C++ compiler, and finds none; install g++, or name one in the environment '
            'variable CXX'
        )


def _cannot(what: str, error: Exception) -> ExportError:
    reason = ' '.join(str(error).split())[:300] or type(error).__name__
    return ExportError(f'PyTorch {torch.__version__} cannot {what}: {reason}')
