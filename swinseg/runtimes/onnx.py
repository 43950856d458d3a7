"""ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from swinseg.runtimes.base import LOGITS_NAME, SessionRuntime
from swinseg_runtime import ModelFileError, OnnxSession, Session


class OnnxRuntime(SessionRuntime):
    """A written file in ONNX Runtime.

    Args:
        path: of the file.
        device: as for ``swinseg_runtime.OnnxSession``, as are the others.
        threads: of one operation on the processor.
        providers: in the place of ``device``.
        dtype: must be ``'float32'``: the file says in what it computes.

    Raises:
        ExportedFileError: later, when something is asked of it; as ``OnnxSession``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        def open_session(content: bytes | None = None) -> Session:
            if dtype != 'float32':
                raise ModelFileError(
                    f'{os.fspath(path)} computes in what it was exported for, and not in {dtype}; leave dtype out'
                )
            return OnnxSession(
                path, content=content, device=device, threads=threads, providers=providers
            )

        super().__init__(
            os.fspath(path), open_session, lambda: open_session(with_logits_only(path))
        )


def with_logits_only(path: str | os.PathLike[str]) -> bytes | None:
    """Return the file with the scores inside as its only output, or None where it has none."""
    if not os.path.isfile(path):
        return None  # Opening it says so.
    if find_spec('onnx') is None:
        raise ModelFileError(
            f'{os.fspath(path)} needs the package onnx; install it with: pip install "swinseg[onnx]"'
        )
    import onnx

    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception:  # of protobuf, whose versions have several
        return None  # Opening it says what is wrong with it.
    graph = proto.graph
    needed = {LOGITS_NAME}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_inputs_of(node))
    if not kept:
        return None
    weights = [each for each in graph.initializer if each.name in needed]
    for field, parts in (
        (graph.node, kept[::-1]), (graph.initializer, weights),
        (graph.output, [onnx.ValueInfoProto(name=LOGITS_NAME)]),
    ):  # fmt: skip
        whole = list(parts)
        del field[:]
        field.extend(whole)
    content: bytes = proto.SerializeToString()
    return content


def _inputs_of(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, also within its branches and loops."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _inputs_of(inner)
