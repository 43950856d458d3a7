"""A graph in int8: calibrated, measured, and with as many layers in float as its accuracy wants."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from mmseg.models import EncoderDecoder
from numpy.typing import NDArray
from torch import Tensor

from swinseg.exporting.gate import Accuracy, Gate
from swinseg.exporting.graph import Graph
from swinseg.exporting.plain_conv import direct_convolutions
from swinseg.exporting.quantizing.calibration import calibration_files, calibration_inputs
from swinseg.exporting.quantizing.search import Round, search
from swinseg.exporting.quantizing.sensitivity import measure_sensitivities

ALWAYS_FLOAT = ('backbone.projection', 'head.classifier')
"""The first and the last layer: they take little time, and all that is seen and said goes through them."""

_RANKING_IMAGES = 2


class Quantizer(Protocol):
    """Writes a file in int8 from one in float32, and returns the number of nodes."""

    def __call__(
        self,
        source: Path,
        path: Path,
        *,
        inputs: Sequence[NDArray],
        float_layers: Collection[str],
    ) -> int: ...


@dataclass(frozen=True)
class Quantization:
    """How a file came to its int8.

    Attributes:
        nodes: operations of the graph.
        images: files of the calibration.
        examples: inputs of the graph, cut from these images.
        rounds: that were tried; the last is the file.
        accuracy: of the file.
    """

    nodes: int
    images: tuple[str, ...]
    examples: tuple[Tensor, ...]
    rounds: tuple[Round, ...]
    accuracy: Accuracy

    def record(self) -> dict[str, Any]:
        """Return what a receipt says of it."""
        return {
            'calibration_images': [Path(file).name for file in self.images],
            'float_layers': [*ALWAYS_FLOAT, *self.rounds[-1].float_layers],
            'rounds': [asdict(each) for each in self.rounds],
        }


def write_int8(
    graph: Graph,
    model: EncoderDecoder,
    path: Path,
    *,
    write_float: Callable[[Path], object],
    quantizer: Quantizer,
    gate: Gate,
    images: int,
    size: tuple[int, int] | None,
    example_sizes: Sequence[tuple[int, int, int]],
) -> Quantization:
    """Write a graph in int8.

    Args:
        graph: in evaluation mode.
        model: that it was made of.
        path: of the file, in a folder of its own.
        write_float: writes it in float32 to a path, and makes sure that it computes what the model does.
        quantizer: of the target.
        gate: that says what the file is worth, and whose config has the training set.
        images: of the training set to calibrate on.
        size: height and width that the graph is for; None for any.
        example_sizes: batch, height and width of the examples.

    Raises:
        ExportError: there is no training set.
        UserError: it cannot be read.
    """
    files = calibration_files(gate.cfg, images)
    inputs = calibration_inputs(gate.cfg, model, files, graph, size=size)
    found: list[Accuracy] = []
    nodes = 0
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, direct_convolutions():
        source = Path(folder) / path.name
        write_float(source)

        def attempt(layers: Sequence[str]) -> float:
            nonlocal nodes
            # A runtime may still read the last one's weights from the disk: it is not written over, but replaced.
            for file in path.parent.iterdir():
                if file.is_file():
                    file.unlink()
            nodes = quantizer(source, path, inputs=inputs, float_layers=(*ALWAYS_FLOAT, *layers))
            found.append(gate.measure(path))
            return found[-1].drop

        rounds = search(
            attempt,
            lambda: measure_sensitivities(
                graph, [torch.from_numpy(each) for each in inputs[:_RANKING_IMAGES]]
            ),
            max_drop=gate.max_drop,
            show=lambda each: print(f'int8, {each}', flush=True),
        )
    examples = tuple(_example(graph, inputs, each) for each in example_sizes)
    return Quantization(nodes, tuple(files), examples, tuple(rounds), found[-1])


def _example(graph: Graph, inputs: Sequence[NDArray], size: tuple[int, int, int]) -> Tensor:
    """Return images of the calibration at a size."""
    batch, height, width = size
    resized = []
    for number in range(batch):
        pixels = torch.from_numpy(inputs[number % len(inputs)])
        if graph.input == 'image':
            pixels = pixels.permute(0, 3, 1, 2)
        x = F.interpolate(pixels.float(), size=(height, width), mode='bilinear', antialias=True)
        resized.append(x.round().byte().permute(0, 2, 3, 1) if graph.input == 'image' else x)
    return torch.cat(resized).contiguous()
