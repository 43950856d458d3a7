"""Windows of a scene: their size, how many are computed at a time, and how a model scores them.

Shapes: H, W = size of the scene; h, w = size of a window; K = classes; B = windows of a batch; C = bands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from swinseg.inference import slide_blocks
from swinseg.inference.memory import measure_window, plan_memory
from swinseg.models.postprocess import padding_of
from swinseg.models.segmentor import window_logits
from swinseg.predictor import PredictOptions, Predictor
from swinseg.transfers import to_device

Size = int | tuple[int, int]

_DEFAULT_WINDOW = 512
_DEFAULT_BLEND = 'gaussian'
# Windows of a batch have so many pixels together. A CPU gains nothing by more than one window of usual size.
_CPU_BATCH_PIXELS, _GPU_BATCH_PIXELS = 2**18, 2**21


@dataclass(frozen=True)
class Windows:
    """How windows lie.

    Attributes:
        size: h, w in pixels.
        stride: distance of neighboring windows in pixels, down and to the right.
        blend: as ``swinseg.inference.slide`` takes it.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    blend: str


def choose_windows(
    model: EncoderDecoder,
    *,
    window: Size | None = None,
    stride: Size | None = None,
    blend: str | None = None,
) -> Windows:
    """Fill in what was not asked for.

    Args:
        model: whose ``test_cfg`` says how windows lie where its mode is ``'slide'``.
        window: side, or height and width, in pixels; None takes that of the model, or 512.
        stride: distance of neighboring windows; None takes that of the model where the window is its own, too,
            or else three quarters of the window.
        blend: None takes that of the model, or ``'gaussian'``.

    Raises:
        SlideError: the stride leaves gaps between windows, or there is no such blend.
    """
    cfg = model.test_cfg or {}
    if cfg.get('mode') != 'slide':
        cfg = {}
    # An exported file may take windows of one size only.
    only = getattr(model, 'input_size', None) or _DEFAULT_WINDOW
    size = _pair(window or cfg.get('crop_size', only))
    three_quarters = (max(1, size[0] * 3 // 4), max(1, size[1] * 3 // 4))
    own = three_quarters if window else cfg.get('stride', three_quarters)
    steps = _pair(stride or own)
    blend = blend or cfg.get('blend', _DEFAULT_BLEND)
    # It checks them at once, and would compute a window only when it is asked for one.
    slide_blocks(
        lambda pixels: pixels, torch.zeros(1, 1, 1), window=size, stride=steps, blend=blend
    )
    return Windows(size, steps, blend)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


@dataclass(frozen=True)
class Workload:
    """How many windows are computed at a time, and in which precision unfinished scores are kept."""

    batch_size: int
    score_dtype: torch.dtype


def choose_workload(
    score: Callable[[Tensor], Tensor],
    windows: Windows,
    shape: tuple[int, int],
    *,
    bands: int,
    device: torch.device,
    batch_size: int | None = None,
    max_memory: int | None = None,
) -> Workload:
    """Choose what fits the memory.

    Without a limit it depends on the windows only, so that a scene is continued as it was begun.

    Args:
        score: from (B, C, h, w) pixels to scores.
        windows: how they lie.
        shape: H, W.
        bands: C.
        device: of the model.
        batch_size: windows at a time; None for as many as have the pixels of one window of 512 x 512 on a CPU, or
            of eight on a GPU.
        max_memory: bytes beside the loaded model; None for no limit. Where they do not suffice, fewer windows are
            computed at a time, and scores are kept in half precision.

    Raises:
        SlideError: not even one window at a time fits.
    """
    size = (min(windows.size[0], shape[0]), min(windows.size[1], shape[1]))
    if batch_size is None:
        pixels = _CPU_BATCH_PIXELS if device.type == 'cpu' else _GPU_BATCH_PIXELS
        batch_size = max(1, pixels // (size[0] * size[1]))
    if max_memory is None:
        return Workload(batch_size, torch.float32)
    plan = plan_memory(
        max_memory,
        shape,
        window=windows.size,
        stride=windows.stride,
        needs=measure_window(score, size, channels=bands, device=device),
        channels=bands,
        device=device,
    )
    return Workload(min(batch_size, plan.batch_size), plan.score_dtype)


class WindowScores:
    """A model as ``slide`` calls it.

    Args:
        model: mmseg's ``EncoderDecoder`` in evaluation mode, whose preprocessor normalizes the pixels.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        self._model = model

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the logits, (B, K, h, w), of (B, C, h, w) float pixels from 0 to 255, RGB where C is 3."""
        inputs, meta = self._preprocess(pixels)
        logits = window_logits(self._model, inputs, meta=meta)
        left, _, top, _ = padding_of(meta)
        return logits[..., top : top + pixels.shape[2], left : left + pixels.shape[3]]

    def _preprocess(self, pixels: Tensor) -> tuple[Tensor, Mapping[str, Any]]:
        """Return normalized, padded windows on the model's device, and the metainfo of the first."""
        pixels = to_device(pixels, self._model.data_preprocessor.device)
        # mmseg's preprocessor expects what its loader gives, BGR.
        inputs = pixels.flip(1) if pixels.shape[1] == 3 else pixels
        shape = tuple(pixels.shape[2:])
        samples = [
            SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape))
            for _ in inputs
        ]
        batch: dict[str, Any] = {'inputs': list(inputs), 'data_samples': samples}
        data = self._model.data_preprocessor(batch, False)
        return data['inputs'], data['data_samples'][0].metainfo


class AugmentedWindowScores:
    """The mean over a predictor's scales and flips, as ``slide`` calls it.

    Args:
        predictor: with a ``tta_pipeline``.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._is_binary = predictor.model.decode_head.out_channels == 1

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the probabilities, (B, K, h, w), of (B, 3, h, w) float RGB pixels from 0 to 255."""
        images = [window.permute(1, 2, 0).numpy() for window in pixels.to(torch.uint8)]
        options = PredictOptions(tta=True, probabilities=True)
        results = self._predictor.stream(images, options)
        found = torch.stack([torch.from_numpy(result.probabilities) for result in results])
        # Of a binary head's two probabilities slide's caller expects the second, which a threshold decides on.
        return found[:, 1:] if self._is_binary else found
