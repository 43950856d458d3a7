"""ONNX Runtime and OpenVINO, where they are there, running the exported graphs of stock mmseg and of swinseg."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from swinseg import exporting
from swinseg.exporting import onnx_file
from swinseg.exporting.arguments import OPSET
from swinseg.exporting.graph import Graph
from swinseg.models import ops
from swinseg.runtimes.onnx import with_logits_only
from swinseg.versions import __version__, installed_version
from swinseg_runtime.openvino_core import openvino_core

NEEDS = {'onnxruntime': ('onnx', 'onnxruntime'), 'openvino': ('onnx', 'openvino')}
"""The packages that each peer needs."""

STOCK_NEEDS = 'onnxscript'
"""What writing stock mmseg's graph needs besides."""


def missing(peer: str, *more: str) -> str | None:
    """Return why a peer cannot run here, or None where it can.

    Args:
        peer: one of ``NEEDS``.
        more: packages that are needed besides.
    """
    needed = (*NEEDS[peer], *more)
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    verb = 'is' if len(absent) == 1 else 'are'
    return f"{' and '.join(absent)} {verb} not installed (pip install -e '.[bench]')"


def _user() -> int:
    # Where users share the temporary folder, each has an own one in it; Windows gives each user their own.
    return os.getuid() if hasattr(os, 'getuid') else 0


class _Logits(nn.Module):
    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.backbone = segmentor.get_submodule('backbone')
        self.decode_head = segmentor.get_submodule('decode_head')

    def forward(self, image: Tensor) -> Tensor:
        return self.decode_head(self.backbone(image))


def export_stock(segmentor: nn.Module, image: Tensor, *, name: str) -> Path:
    """Write stock mmseg's graph from image to logits as ONNX, unless the temporary folder has it already.

    Exporting takes half a minute and a file 240 MB, so the file stays in the system's temporary folder.

    Args:
        segmentor: in evaluation mode, on the CPU.
        image: (B, 3, H, W); the graph holds for this size only, as fits these runtimes best.
        name: of the model, to tell files apart; weights of another value give another file.

    Returns:
        The file, with its weights in a second file beside it.
    """
    versions = [installed_version(each) for each in ('onnx', 'onnxscript', 'mmsegmentation')]
    key = _key(segmentor, repr((name, tuple(image.shape), versions)))
    return _cached('stock.onnx', key, lambda file: _export(_Logits(segmentor).eval(), image, file))


def export_ours(segmentor: nn.Module, image: Tensor, *, name: str, is_open: bool) -> Path:
    """Write the graph of :mod:`swinseg.exporting` from image to logits; else as :func:`export_stock`.

    Args:
        segmentor: swinseg's.
        image: (B, 3, H, W); a graph for one size is for one image, too.
        name: as there.
        is_open: whether the graph is for any batch and size.
    """
    size = None if is_open else (int(image.shape[2]), int(image.shape[3]))

    def write(file: Path) -> None:
        graph = Graph(segmentor, input='tensor', output='labels').eval()
        onnx_file.write(
            graph, file, size=size, opset=OPSET, metadata={'swinseg_version': __version__}
        )
        content = with_logits_only(file)
        assert content is not None
        file.write_bytes(content)

    sources = b''.join(
        file.read_bytes()
        for package in (exporting, ops)
        for file in sorted(Path(package.__path__[0]).glob('*.py'))
    )
    digest = hashlib.sha256(sources).hexdigest()
    key = _key(segmentor, repr((name, size, installed_version('onnx'), digest)))
    return _cached('ours.onnx', key, write)


def _key(segmentor: nn.Module, more: str) -> str:
    key = hashlib.sha256(f'{more} {installed_version("torch")}'.encode())
    for parameter in segmentor.parameters():
        key.update(parameter.detach().flatten()[:8].numpy().tobytes())
    return key.hexdigest()[:16]


def _cached(name: str, key: str, write: Callable[[Path], None]) -> Path:
    """Return the file of an earlier run, or write it."""
    folder = Path(tempfile.gettempdir()) / f'swinseg-benchmark-{_user()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / key / name
    if file.is_file():
        return file
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        write(Path(unfinished) / name)
        file.parent.mkdir(exist_ok=True)
        # The graph comes last: where it is, the weights are.
        for part in sorted(Path(unfinished).iterdir(), key=lambda part: part.name == name):
            os.replace(part, file.parent / part.name)
    return file


def _export(module: nn.Module, image: Tensor, file: Path) -> None:
    # The exporter prints its progress and warns of its own parts.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        with torch.no_grad():
            torch.onnx.export(
                module,
                (image,),
                file,
                dynamo=True,
                input_names=['image'],
                output_names=['logits'],
                verbose=False,
            )


def onnxruntime_call(file: Path, image: Tensor) -> Callable[[], Tensor]:
    """Return a function that runs the graph on ``image`` with ONNX Runtime on PyTorch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads spin during its own call only, not into that of the next candidate.
    options.add_session_config_entry('session.force_spinning_stop', '1')
    session = onnxruntime.InferenceSession(file, options, providers=['CPUExecutionProvider'])
    feed = {'image': image.numpy()}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def openvino_call(file: Path, image: Tensor, *, dtype: torch.dtype) -> Callable[[], Tensor]:
    """Return a function that runs the graph on ``image`` with OpenVINO, for latency.

    Args:
        file: the graph.
        image: (B, 3, H, W) float32.
        dtype: float32, or bfloat16 for OpenVINO's own reduced precision.
    """
    settings = {
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': 1,
        'INFERENCE_PRECISION_HINT': 'f32' if dtype == torch.float32 else 'bf16',
    }
    model = openvino_core().compile_model(file, 'CPU', settings)
    request = model.create_infer_request()
    array = image.numpy()
    return lambda: torch.from_numpy(request.infer([array], share_inputs=True)[0].copy())
