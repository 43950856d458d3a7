"""Names of the layers that have weights, alike in a graph of PyTorch, in ONNX files and in OpenVINO's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

PRODUCTS = ('Conv', 'MatMul', 'Gemm')
"""Operations of ONNX that multiply by weights."""

_OF_TRACER = 'onnx::'
# Modules with several linear layers in one, for the maps that they join.
_PYRAMIDS = ('.bottleneck', '.joined')


def weights_of(graph: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a graph's convolutions and linear layers, by the layer's name.

    Returns:
        ``{'backbone.stages.0.0.mlp.0': ..., 'head.joined.mixing1': ...}``: parameters and buffers with two axes at
        least that are no other constant of the graph.
    """
    tensors = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
    return {
        name.removesuffix('.weight'): value
        for name, value in tensors.items()
        if name.rpartition('.')[2].startswith(('weight', 'mixing')) and value.dim() > 1
    }


def named(nodes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return nodes of an exported graph by the names of their layers.

    Args:
        nodes: names such as ``/backbone/stages.0.0/mlp/mlp.0/MatMul``, each with that of what it multiplies by,
            which is a parameter's, or one that the tracer made up for a transposed one.
    """
    found, of_module = {}, defaultdict(list)
    for node, weight in nodes:
        if weight.startswith(_OF_TRACER):
            of_module[_module(node)].append(node)
        else:
            found[weight.removesuffix('.weight')] = node
    for module, products in of_module.items():
        if len(products) == 1 and not module.endswith(_PYRAMIDS):
            found[module] = products[0]
            continue
        for number, node in enumerate(sorted(products, key=_number)):
            found[f'{module}.mixing{number}'] = node
    return found


def _number(node: str) -> int:
    """Return the number at the end of a name, by which nodes of one module are told: ``MatMul``, ``MatMul_1``."""
    match = re.search(r'_(\d+)$', node)
    return int(match[1]) if match else 0


def _module(node: str) -> str:
    parts: list[str] = []
    for part in node.strip('/').split('/')[:-1]:
        # The layers of a Sequential repeat its name.
        if parts and part.startswith(f'{parts[-1]}.'):
            parts.pop()
        parts.append(part)
    return '.'.join(parts)


def nodes_of(proto: Any) -> dict[str, str]:
    """Return the names of an ONNX graph's nodes that multiply by weights, by layer."""
    weights = {each.name for each in proto.graph.initializer}
    return named(
        (node.name, node.input[1])
        for node in proto.graph.node
        if node.op_type in PRODUCTS and node.input[1] in weights
    )


def operations_of(model: Any) -> dict[str, str]:
    """Return the names of an OpenVINO model's operations that multiply by weights, by layer."""
    found = []
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in ('Convolution', 'MatMul'):
            continue
        factor = operation.input_value(1).get_node()
        weight = factor.get_friendly_name()
        # A constant that was computed in the graph, such as a matrix that averages, has a path as its name.
        if factor.get_type_name() == 'Constant' and not weight.startswith('/'):
            found.append((operation.get_friendly_name(), weight))
    return named(found)
