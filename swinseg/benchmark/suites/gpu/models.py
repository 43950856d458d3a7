"""The models that the suite compares, kept while they are needed, and how they are called in each precision."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from safetensors.torch import save_file
from torch import Tensor

from swinseg.benchmark.options import PRECISIONS
from swinseg.benchmark.pairs import (
    Pair,
    build_pair,
    config_of,
    draw_image,
    with_stock_types,
)
from swinseg.benchmark.suites.gpu.options import GpuOptions
from swinseg.benchmark.timing import Call, under_autocast, with_device_sync
from swinseg.checkpoints import formats
from swinseg.hub.upernet import to_upernet_config
from swinseg.models.complexity import count_multiply_adds
from swinseg.precision import set_tf32


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Compute products of float32 in TF32 where the precision is ``'tf32'``, and in float32 else."""
    with warnings.catch_warnings():
        # PyTorch has another way since 2.9, of which 2.6 knows nothing; it refuses a mixture of both.
        warnings.simplefilter('ignore', UserWarning)
        backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [backend.allow_tf32 for backend in backends]
        set_tf32(precision == 'tf32')
        try:
            yield
        finally:
            for backend, allowed in zip(backends, before, strict=True):
                backend.allow_tf32 = allowed


@contextlib.contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Let cuDNN choose by measuring, as the configs have it in training."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def call_in(precision: str, model: Callable[[Tensor], Tensor], image: Tensor) -> Call:
    """Return a call of a model of float32, under autocast where the precision is a smaller type."""
    return under_autocast(lambda: model(image), str(image.device), PRECISIONS[precision])


class Models:
    """Pairs of models, one at a time, and what a call of them is believed to take.

    Args:
        options: of the suite.
    """

    def __init__(self, options: GpuOptions) -> None:
        self.options = options
        self._pair: Pair | None = None
        self._rate: float | None = None
        self._multiply_adds: dict[tuple[str, int], int] = {}

    def pair(self, name: str) -> Pair:
        """Return the models of a variant, or of the config, on the device."""
        if self._pair is None or self._pair.name != name:
            self._pair = None  # before the next one needs the memory
            self._pair = build_pair(name, self.options.config, device=self.options.device)
        return self._pair

    def forward_seconds(self, name: str, side: int) -> float:
        """Return the seconds that stock mmseg's logits of one image are believed to take, in float32.

        They grow with the multiply-adds from what the first model takes at the first size.
        """
        if self._rate is None:
            first, size = self.options.names[0], self.options.sizes[0]
            image = draw_image(1, 3, size, size, device=self.options.device)
            call = with_device_sync(lambda: self.pair(first).stock(image), self.options.device)
            with torch.no_grad(), products_in('float32'):
                call()
                # The shortest: a moment in which the machine does something else says nothing of the others.
                seconds = min(_seconds_of(call) for _ in range(3))
            self._rate = self.multiply_adds(first, size) / seconds
        return self.multiply_adds(name, side) / self._rate

    def multiply_adds(self, name: str, side: int) -> int:
        """Return those of stock mmseg's model for one image."""
        key = (name, side)
        if key not in self._multiply_adds:
            self._multiply_adds[key] = _count(self.options, name, side)
        return self._multiply_adds[key]


def _seconds_of(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _count(options: GpuOptions, name: str, side: int) -> int:
    settings = with_stock_types(config_of(name, options.config).model)
    settings.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        return count_multiply_adds(MODELS.build(settings), (side, side))


def why_no_transformers() -> str | None:
    """Return why Hugging Face's model cannot be built here, or None where it can."""
    return None if importlib.util.find_spec('transformers') else 'transformers is not installed'


def transformers_logits(pair: Pair, config: str | None) -> Callable[[Tensor], Tensor]:
    """Return Hugging Face's backbone and head with the weights of a pair, from an image to logits.

    Its own ``forward`` also resizes the logits to the image, which the others leave to the prediction.

    Args:
        pair: with the weights.
        config: as the pair was built from.

    Raises:
        CheckpointError: the class has no place for what the model does.
    """
    from transformers import UperNetForSemanticSegmentation, logging

    model = config_of(pair.name, config).model.to_dict()
    classes = [f'class {index}' for index in range(model['decode_head']['num_classes'])]
    fields, _ = to_upernet_config(model, classes)
    weights = formats.from_mmseg(pair.stock.state_dict(), 'huggingface')
    device = next(pair.stock.parameters()).device
    is_shown = logging.is_progress_bar_enabled()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'config.json').write_text(json.dumps(fields), encoding='utf-8')
        save_file(
            {name: value.cpu().contiguous() for name, value in weights.items()},
            Path(folder, 'model.safetensors'),
            metadata={'format': 'pt'},
        )
        logging.disable_progress_bar()
        try:
            built: Any = UperNetForSemanticSegmentation.from_pretrained(folder)
        finally:
            if is_shown:
                logging.enable_progress_bar()
    built = built.to(device).eval()

    def logits(image: Tensor) -> Tensor:
        features = built.backbone.forward_with_filtered_kwargs(image).feature_maps
        found: Tensor = built.decode_head(features)
        return found

    return logits
