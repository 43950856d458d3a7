"""The options of the suite gpu, and its cases: which models, sizes and precisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from swinseg.benchmark.options import PRECISIONS, Options, check_windows
from swinseg.benchmark.pairs import names_of
from swinseg.errors import BenchmarkError

COMPILED, TRANSFORMERS = 'compiled', 'transformers'
_PEERS = (COMPILED, TRANSFORMERS)
_TRAIN_PRECISIONS = ('float32', 'tf32', 'bfloat16')
_SLIDE_PRECISIONS = ('bfloat16', 'float32')


@dataclass(frozen=True)
class GpuOptions(Options):
    """Options of the suite.

    Attributes:
        device: ``'cuda'``, or ``'cpu'`` to see on a processor what the suite does.
        repeats: rounds at most.
        seconds: for the rounds of one case; two are always run.
        quick: fewer cases, in about a minute.
        budget: seconds for everything; cases that would not fit are left out.
        variants: of the model.
        config: instead of the variants' configs.
        sizes: sides of images and crops in pixels.
        batch_sizes: images at a time in inference.
        train_batch_sizes: crops at a time in training.
        precisions: some of float32, tf32 (float32 with products of TF32), bfloat16 and float16.
        peers: some of ``'compiled'``, for both in ``torch.compile``, and ``'transformers'``.
        steps: of the loss curve.
        images: of the data pipeline.
        image_size: height and width of the image of sliding inference.
        window: side of a window of it.
        stride: distance of neighboring windows.
    """

    QUICK: ClassVar[Mapping[str, Any]] = {
        'variants': ('T',),
        'batch_sizes': (1,),
        'train_batch_sizes': (2,),
        'precisions': ('float32', 'bfloat16'),
        'peers': (TRANSFORMERS,),
        'image_size': (2048, 2048),
        'images': 8,
        'seconds': 0.5,
        'budget': 55.0,
    }

    device: str = 'cuda'
    repeats: int = 15
    seconds: float = 1.0
    quick: bool = False
    budget: float = 225.0
    variants: tuple[str, ...] = ('T', 'B')
    config: str | None = None
    sizes: tuple[int, ...] = (512,)
    batch_sizes: tuple[int, ...] = (1, 8)
    train_batch_sizes: tuple[int, ...] = (2, 8)
    precisions: tuple[str, ...] = tuple(PRECISIONS)
    peers: tuple[str, ...] = _PEERS
    steps: int = 20
    images: int = 16
    image_size: tuple[int, ...] = (4096, 4096)
    window: int = 512
    stride: int = 384

    @property
    def names(self) -> tuple[str, ...]:
        """What to call the models."""
        return names_of(self.variants, self.config)

    @property
    def is_on_gpu(self) -> bool:
        """Whether the device is one."""
        return torch.device(self.device).type == 'cuda'

    @property
    def train_precisions(self) -> tuple[str, ...]:
        """Those of training steps; float16 would need scaled losses."""
        return tuple(each for each in _TRAIN_PRECISIONS if each in self.precisions)

    @property
    def slide_precisions(self) -> tuple[str, ...]:
        """Those of sliding inference, the one that people take first."""
        return tuple(each for each in _SLIDE_PRECISIONS if each in self.precisions)

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        if self.device.startswith('cuda') and not torch.cuda.is_available():
            raise BenchmarkError(
                'the suite gpu needs a GPU that PyTorch can use, and none was found; --device cpu runs it on the '
                'processor'
            )
        super().check()
        unknown = [peer for peer in self.peers if peer not in _PEERS]
        if unknown:
            raise BenchmarkError(f'--peers takes {", ".join(_PEERS)}, found {unknown[0]!r}')
        if min(self.train_batch_sizes) < 2:
            # Batch norm over the 1 x 1 map of the pyramid pooling needs two values.
            raise BenchmarkError('--train-batch-sizes takes numbers of at least 2, found 1')
        if self.budget <= 0:
            raise BenchmarkError(f'--budget must be positive, found {self.budget}')
        if self.steps < 2:
            raise BenchmarkError(f'--steps must be at least 2, found {self.steps}')
        if self.images < 1:
            raise BenchmarkError(f'--images must be at least 1, found {self.images}')
        check_windows(self.image_size, self.window, self.stride)

    def why_not(self, precision: str) -> str | None:
        """Return why a precision cannot be measured on the device, or None where it can."""
        if self.is_on_gpu:
            if precision == 'bfloat16' and not torch.cuda.is_bf16_supported(
                including_emulation=False
            ):
                return 'this GPU has no bfloat16'
            return None
        return f'no {precision} on a processor' if precision in ('tf32', 'float16') else None
