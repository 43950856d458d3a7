"""ONNX files: a graph is traced, and its description is put in.

The trace is that of ``torch.jit.trace``, for the graph is made for it (:mod:`swinseg.exporting.plain_backbone`):
a Swin-T takes seconds, where capturing it with symbolic sizes takes minutes.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from swinseg.errors import ExportError
from swinseg.exporting.graph import Graph
from swinseg.exporting.sizes import fixed_sizes
from swinseg.runtimes.base import INPUT_NAME, LOGITS_NAME, OUTPUT_NAMES

OPSETS = range(17, 21)
"""17 is the first with layer norm; later ones than 20 the tracer does not write."""

ONE_FILE = 2**31 - 2**24
"""Largest weights, in bytes, that stay in the ``.onnx`` file: a message of protobuf holds 2 GiB."""


def write(
    graph: Graph,
    path: Path,
    *,
    size: tuple[int, int] | None,
    opset: int,
    metadata: Mapping[str, str],
) -> int:
    """Write a graph to ``path``, with weights that do not fit into one file in ``path`` + ``.data``.

    Args:
        graph: in evaluation mode.
        path: ``.onnx``; its folder must be empty.
        size: height and width to fix, with a batch of 1; None leaves all three open.
        opset: one of ``OPSETS``.
        metadata: the file's ``metadata_props``.

    Returns:
        The number of nodes.

    Raises:
        ExportError: a layer has no form in ONNX.
    """
    import onnx

    weights = sum(each.numel() * each.element_size() for each in graph.state_dict().values())
    is_large = weights > ONE_FILE
    proto = _traced(graph, path, size=size, opset=opset, is_large=is_large)
    # The scores stay inside, by their name.
    assert proto.graph.output[-1].name == LOGITS_NAME
    del proto.graph.output[-1]
    proto.producer_name, proto.producer_version = 'swinseg', metadata['swinseg_version']
    onnx.helper.set_model_props(proto, dict(metadata))
    if not is_large:
        path.write_bytes(proto.SerializeToString())
    else:
        data = f'{path.name}.data'
        onnx.save_model(proto, path, save_as_external_data=True, location=data, size_threshold=1024)
    onnx.checker.check_model(path)
    return len(proto.graph.node)


def _traced(
    graph: Graph, path: Path, *, size: tuple[int, int] | None, opset: int, is_large: bool
) -> Any:
    import onnx

    given = graph.example(1, *size) if size else graph.example(2, 45, 70)
    names = [*OUTPUT_NAMES[graph.output], LOGITS_NAME]
    # Of the protobuf's largest size, the tracer puts each tensor into a file of its own.
    unjoined = path.with_name('traced') / path.name
    target: Any = unjoined if is_large else io.BytesIO()
    if is_large:
        unjoined.parent.mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        # About its own age, and about sizes that become constants where they are to.
        warnings.simplefilter('ignore')
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if size:
            stack.enter_context(fixed_sizes())
        try:
            torch.onnx.export(
                graph,
                (given,),
                target,
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT_NAME],
                output_names=names,
                dynamic_axes=None if size else _dynamic_axes(graph),
            )
        except OSError:
            raise
        except Exception as error:  # Its classes changed from version to version.
            reason = ' '.join(str(error).split())[:300] or type(error).__name__
            raise ExportError(
                f'PyTorch {torch.__version__} cannot write the model as ONNX with opset {opset}: {reason}; use '
                'layers that ONNX has, such as GELU and ReLU, LN and BN'
            ) from error
    if isinstance(target, io.BytesIO):
        return onnx.load_from_string(target.getvalue())
    proto = onnx.load(target)
    for file in target.parent.iterdir():
        file.unlink()
    target.parent.rmdir()
    return proto


def _dynamic_axes(graph: Graph) -> dict[str, dict[int, str]]:
    given = {0: 'batch', 1: 'height', 2: 'width'}
    channels_first = {0: 'batch', 2: 'height', 3: 'width'}
    return {
        INPUT_NAME: given if graph.input == 'image' else channels_first,
        **dict.fromkeys(('labels', 'confidence'), given),
        'probabilities': channels_first,
        LOGITS_NAME: {0: 'batch', 2: 'logit_rows', 3: 'logit_columns'},
    }
