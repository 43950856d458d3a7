"""The exported graph on a GPU: ONNX Runtime with CUDA and with TensorRT, ``trtexec``, and AOTInductor.

TensorRT builds an engine for a range of sizes, its optimization profile, which ``trtexec`` and ONNX Runtime take
as the smallest, the usual and the largest shape of each input.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swinseg.benchmark import exported
from swinseg.benchmark.exactness import of_logits
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import PREPARED, STOCK, build_pair, draw_image
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Candidate, compare
from swinseg.errors import BenchmarkError
from swinseg.exporting.graph import Graph
from swinseg.exporting.sizes import fixed_sizes
from swinseg.models.prepare import prepare_for_inference
from swinseg.runtimes.base import INPUT_NAME

CUDA, TENSORRT = 'CUDAExecutionProvider', 'TensorrtExecutionProvider'
CUDA_ROW, TENSORRT_ROW = 'ONNX Runtime, CUDA', 'ONNX Runtime, TensorRT'
TRTEXEC_ROW, INDUCTOR_ROW = 'trtexec', 'AOTInductor'
ROWS = (CUDA_ROW, TENSORRT_ROW, TRTEXEC_ROW, INDUCTOR_ROW)

_SIDE = 512
_AXES = ('batch', 'height', 'width')
_MEDIAN = re.compile(r'GPU Compute Time:.*?\bmedian = ([0-9.]+) ms')


@dataclass(frozen=True)
class Profile:
    """The sizes that an engine is for: batch, height and width each.

    Attributes:
        smallest: of all.
        usual: that it is tuned for.
        largest: of all.
    """

    smallest: tuple[int, int, int] = (1, 64, 64)
    usual: tuple[int, int, int] = (1, _SIDE, _SIDE)
    largest: tuple[int, int, int] = (4, 1024, 1024)

    def shapes(self, file: Path) -> tuple[str, str, str]:
        """Return the three shapes of a file's input as both tools take them, such as ``image:1x3x512x512``.

        Raises:
            BenchmarkError: the sizes are not in order, or the graph has a fixed one that differs.
        """
        import onnx

        graph = onnx.load(file, load_external_data=False).graph
        (given,) = graph.input
        axes = [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
        return self.shapes_of(given.name, axes)

    def shapes_of(self, name: str, axes: Sequence[str | int]) -> tuple[str, str, str]:
        """Do as :meth:`shapes`, given the input's axes: their names where they are open, their lengths else."""
        sizes = (self.smallest, self.usual, self.largest)
        for i, axis in enumerate(_AXES):
            ordered = [size[i] for size in sizes]
            if ordered != sorted(ordered) or ordered[0] < 1:
                raise BenchmarkError(
                    f'the profile must have a smallest, a usual and a largest {axis} in this order, found '
                    f'{", ".join(map(str, ordered))}'
                )
        texts = []
        for size in sizes:
            lengths = dict(zip(_AXES, size, strict=True))
            unknown = [axis for axis in axes if isinstance(axis, str) and axis not in lengths]
            if unknown or not any(isinstance(axis, str) for axis in axes):
                raise BenchmarkError(
                    f'a profile is for a graph with open axes batch, height and width, found {name} of '
                    f'({", ".join(map(str, axes))}); export it without a fixed size'
                )
            sides = [str(lengths[axis] if isinstance(axis, str) else axis) for axis in axes]
            texts.append(f'{name}:{"x".join(sides)}')
        return texts[0], texts[1], texts[2]


def providers(
    available: Sequence[str], shapes: tuple[str, str, str], *, cache: Path
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return ONNX Runtime's providers for each row that it can compute, and why it cannot compute the others.

    Args:
        available: what ``onnxruntime.get_available_providers`` returns.
        shapes: of :meth:`Profile.shapes`.
        cache: folder for TensorRT's engines.
    """
    # Float32 as on a processor, not TF32.
    cuda = (CUDA, {'use_tf32': '0'})
    smallest, usual, largest = shapes
    tensorrt = (
        TENSORRT,
        {
            'trt_profile_min_shapes': smallest,
            'trt_profile_opt_shapes': usual,
            'trt_profile_max_shapes': largest,
            'trt_engine_cache_enable': 'True',
            'trt_engine_cache_path': str(cache),
        },
    )
    wanted = {CUDA_ROW: [cuda], TENSORRT_ROW: [tensorrt, cuda]}
    rows: dict[str, list[Any]] = {}
    left_out = {}
    for row, chain in wanted.items():
        if chain[0][0] in available:
            rows[row] = [each for each in chain if each[0] in available]
        else:
            left_out[row] = (
                f'this ONNX Runtime has no {chain[0][0]}, only {", ".join(available)}; install onnxruntime-gpu'
            )
    return rows, left_out


def trtexec_command(program: str, file: Path, shapes: tuple[str, str, str]) -> list[str]:
    """Return the command that builds an engine of a file and measures it at the usual shape."""
    smallest, usual, largest = shapes
    return [
        program, f'--onnx={file}', f'--minShapes={smallest}', f'--optShapes={usual}', f'--maxShapes={largest}',
        f'--shapes={usual}', '--noTF32',
    ]  # fmt: skip


def trtexec_seconds(output: str) -> float:
    """Return the median seconds that ``trtexec`` reports.

    Raises:
        BenchmarkError: there are none in what it printed.
    """
    found = _MEDIAN.search(output)
    if found is None:
        last = (output.strip().splitlines() or ['nothing'])[-1][:200]
        raise BenchmarkError(
            f'trtexec told no median of its GPU Compute Time; it ended with: {last}'
        )
    return float(found[1]) / 1000


class _Logits(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        graph = Graph(model, input='tensor', output='labels').eval()
        self.backbone, self.head = graph.backbone, graph.head

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(image))
        return logits


def inductor_call(model: Any, image: Tensor, folder: Path) -> Callable[[], Tensor]:
    """Compile the graph ahead of time for the device of an image, and return what runs it.

    Args:
        model: swinseg's segmentor, on that device.
        image: (B, 3, H, W); the library is for this size.
        folder: for the library.
    """
    module = _Logits(model).to(image.device)
    with torch.no_grad(), fixed_sizes():
        program = torch.export.export(module, (image,))
        path = torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / 'model.pt2')
        )
    run = torch._inductor.aoti_load_package(path)
    return lambda: run(image)


def left_out_on_cpu() -> dict[str, str]:
    """Return which rows need a GPU, where there is none to PyTorch or where the processor was asked for."""
    has_one = torch.cuda.is_available()
    reason = 'measured with --device cuda' if has_one else 'no GPU that PyTorch can use was found'
    return {', '.join(ROWS): reason}


def table(variant: str, options: Options) -> Table:
    """Measure one variant on a GPU, 512 x 512, float32.

    Args:
        variant: of the model.
        options: of the suite.
    """
    config = getattr(options, 'config', None)
    # The files are written of models on the processor.
    pair = build_pair(variant, config)
    image = draw_image(1, 3, _SIDE, _SIDE)
    left_out: dict[str, str] = {}
    onnx_rows: dict[str, Callable[[], Tensor]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        reason = exported.missing('onnxruntime')
        if reason is None:
            file = exported.export_ours(pair.ours, image, name=variant, is_open=True)
            shapes = Profile().shapes(file)
            onnx_rows, left_out = _in_onnxruntime(file, image, shapes, Path(folder))
            measured, more = _in_trtexec(file, shapes)
            seconds |= measured
            left_out |= more
        else:
            left_out |= dict.fromkeys((CUDA_ROW, TENSORRT_ROW, TRTEXEC_ROW), reason)
        on_gpu = image.to(options.device)
        stock, ours = pair.stock.to(options.device), pair.ours.to(options.device)
        prepared = prepare_for_inference(ours)
        candidates = [
            Candidate(STOCK, lambda: stock(on_gpu)),
            Candidate(PREPARED, lambda: prepared(on_gpu)),
            *(Candidate(name, call, may_fail=True) for name, call in onnx_rows.items()),
        ]
        if shutil.which('g++') or shutil.which('c++'):
            compiled = _Lazy(lambda: inductor_call(ours, on_gpu, Path(folder)))
            candidates.append(Candidate(INDUCTOR_ROW, compiled, may_fail=True))
        else:
            left_out[INDUCTOR_ROW] = 'no C++ compiler was found'
        with torch.no_grad():
            rows, failed = compare(
                candidates, of_logits, rounds=options.rounds, device=options.device
            )
    rows += [Row(name, (median,)) for name, median in seconds.items()]
    return Table(
        f'{variant}, {_SIDE} x {_SIDE}, float32, exported graph on a GPU',
        tuple(rows),
        baseline=STOCK,
        ours=PREPARED,
        left_out=left_out | failed,
        notes=(
            'ONNX Runtime gets the image from the memory of the processor and gives the logits back to it; the '
            "others have both on the GPU. trtexec's seconds are the median that it reports.",
        ),
    )


class _Lazy:
    """A call that is made when it is first needed, so that its failure leaves out its own row only."""

    def __init__(self, make: Callable[[], Callable[[], Tensor]]) -> None:
        self.make = make
        self.call: Callable[[], Tensor] | None = None

    def __call__(self) -> Tensor:
        if self.call is None:
            self.call = self.make()
        return self.call()


def _in_onnxruntime(
    file: Path, image: Tensor, shapes: tuple[str, str, str], cache: Path
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, str]]:
    import onnxruntime

    rows, left_out = providers(onnxruntime.get_available_providers(), shapes, cache=cache)

    def opened(chain: list[Any]) -> Callable[[], Tensor]:
        session = onnxruntime.InferenceSession(file, providers=chain)
        if session.get_providers()[0] != chain[0][0]:
            raise BenchmarkError(
                f'ONNX Runtime cannot start {chain[0][0]}; its libraries are not there'
            )
        feed: Mapping[str, Any] = {INPUT_NAME: image.numpy()}
        return lambda: torch.from_numpy(session.run(None, feed)[0])

    return {name: _Lazy(partial(opened, chain)) for name, chain in rows.items()}, left_out


def _in_trtexec(
    file: Path, shapes: tuple[str, str, str]
) -> tuple[dict[str, float], dict[str, str]]:
    program = shutil.which('trtexec')
    if program is None:
        return {}, {TRTEXEC_ROW: 'not on the PATH'}
    done = subprocess.run(
        trtexec_command(program, file, shapes), capture_output=True, text=True, check=False
    )
    try:
        return {TRTEXEC_ROW: trtexec_seconds(done.stdout)}, {}
    except BenchmarkError as error:
        return {}, {TRTEXEC_ROW: str(error)}
