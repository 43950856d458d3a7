"""Int8 for ONNX Runtime, by its static quantizer."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from swinseg.exporting.quantizing.layers import nodes_of
from swinseg.runtimes.base import INPUT_NAME

CACHE_NAME = 'ranges.json'
"""Of the ranges of all tensors, beside the float file: another try needs no other calibration."""


def quantize(
    source: Path, path: Path, *, inputs: Sequence[NDArray], float_layers: Collection[str]
) -> int:
    """Write an ONNX file in int8, with pairs of ``QuantizeLinear`` and ``DequantizeLinear``.

    Weights have a scale for each channel that comes out, what goes in has one, with a zero point, from the
    smallest and largest value of the calibration.

    Args:
        source: in float32.
        path: to be written, in a folder of its own.
        inputs: the calibration's, as the graph takes them.
        float_layers: names of layers that stay in float.

    Returns:
        The number of nodes.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    proto = onnx.load(source, load_external_data=False)
    chosen = [node for layer, node in nodes_of(proto).items() if layer not in float_layers]
    data = source.with_name(f'{source.name}.data')
    if not chosen:  # Of no names the quantizer takes all nodes.
        for file in (source, data):
            if file.exists():
                shutil.copyfile(file, path.with_name(file.name))
        return len(proto.graph.node)
    types = sorted({node.op_type for node in proto.graph.node if node.name in chosen})
    with _without_advice():
        quantize_static(
            source,
            path,
            _reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=types,
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=source.with_name(CACHE_NAME),
            use_external_data_format=data.exists(),
            # What comes out of a product goes to norms, sums and attention, which are float.
            extra_options={'OpTypesToExcludeOutputQuantization': ['MatMul', 'Gemm']},
        )
    return len(onnx.load(path, load_external_data=False).graph.node)


def _reader(inputs: Sequence[NDArray]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter(inputs)

        def get_next(self) -> dict[str, NDArray] | None:
            given = next(self._rest, None)
            return None if given is None else {INPUT_NAME: given}

    return Reader()


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer's advice about files that are not from its own preparation off the terminal."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
