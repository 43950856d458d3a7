"""ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from swinseg.runtimes.base import LOGITS_NAME, SessionRuntime
from swinseg_runtime import ModelFileError, OnnxSession, Session


class OnnxRuntime(SessionRuntime):
    """An ``.onnx`` file in ONNX Runtime; it says in what it computes, so ``dtype`` must be ``'float32'``."""

    def _open_all(self) -> Session:
        return self._open(None)

    def _open_logits(self) -> Session:
        return self._open(with_logits_only(self.name))

    def _open(self, content: bytes | None) -> Session:
        if self._dtype != 'float32':
            raise ModelFileError(
                f'{self.name} computes in what it was exported for, and not in {self._dtype}; leave dtype out'
            )
        return OnnxSession(self.name, content=content, **self._options)


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
