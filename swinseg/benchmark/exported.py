"""ONNX Runtime and OpenVINO running stock mmseg's exported graph, where they are installed."""

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

from swinseg.versions import installed_version

NEEDS = {
    'onnxruntime': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('onnx', 'onnxscript', 'openvino'),
}
"""The packages that each peer needs."""


def missing(peer: str) -> str | None:
    """Return why a peer cannot run here, or None where it can."""
    absent = [name for name in NEEDS[peer] if importlib.util.find_spec(name) is None]
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


def export(segmentor: nn.Module, image: Tensor, *, name: str) -> Path:
    """Write the graph from image to logits as ONNX, unless the temporary folder has it from an earlier run.

    Exporting takes half a minute and a file 240 MB, so the file stays in the system's temporary folder.

    Args:
        segmentor: in evaluation mode, on the CPU.
        image: (B, 3, H, W); the graph holds for this size only, as fits these runtimes best.
        name: of the model, to tell files apart; weights of another value give another file.

    Returns:
        The file, with its weights in a second file beside it.
    """
    folder = Path(tempfile.gettempdir()) / f'swinseg-benchmark-{_user()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256(repr((name, tuple(image.shape))).encode())
    for package in ('torch', 'onnx', 'onnxscript', 'mmsegmentation'):
        key.update(str(installed_version(package)).encode())
    for parameter in segmentor.parameters():
        key.update(parameter.detach().flatten()[:8].numpy().tobytes())
    file = folder / key.hexdigest()[:16] / 'stock.onnx'
    if file.is_file():
        return file
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        _export(_Logits(segmentor).eval(), image, Path(unfinished) / file.name)
        file.parent.mkdir(exist_ok=True)
        # The graph comes last: where it is, the weights are.
        for part in sorted(Path(unfinished).iterdir(), key=lambda part: part.name == file.name):
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
    import openvino

    settings = {
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': 1,
        'INFERENCE_PRECISION_HINT': 'f32' if dtype == torch.float32 else 'bf16',
    }
    model = openvino.Core().compile_model(file, 'CPU', settings)
    request = model.create_infer_request()
    array = image.numpy()
    return lambda: torch.from_numpy(request.infer([array], share_inputs=True)[0].copy())
