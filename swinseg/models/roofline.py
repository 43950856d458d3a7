"""How long a step would take on a GPU that is not here, and what memory: a roofline of each kernel.

The model runs on shapes alone (device ``meta``, which takes the ways that a GPU takes). For each operation the
multiply-adds and the bytes that it reads and writes are counted; it takes as long as the slower of the two at the
device's published peak (Williams et al. 2009, "Roofline: An Insightful Visual Performance Model"), times the share
that real kernels reach. Where the host starts kernels more slowly than the device ends them, the host counts.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.fx.experimental import _config as fx_config
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from swinseg.errors import ArchitectureError
from swinseg.models.feature_info import image_channels
from swinseg.models.multi_label import is_multi_label

PRODUCTS_REACH, MEMORY_REACHES = 0.85, 0.8
"""Shares of the published peaks that large kernels reach."""

KERNEL_OF_THE_HOST = 6e-6
"""Seconds that PyTorch's eager mode takes to start a kernel."""

# mmengine's AdamW: two moments, float32, and the gradient.
_BYTES_PER_WEIGHT = 16
_VIEWS = frozenset((
    'view', '_unsafe_view', '_reshape_alias', 'as_strided', 'permute', 'transpose', 't', 'expand', 'slice',
    'select', 'split', 'split_with_sizes', 'unbind', 'unsqueeze', 'squeeze', 'detach', 'alias', 'unfold',
    'lift_fresh', 'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', 'diagonal',
))  # fmt: skip


@dataclass(frozen=True)
class Device:
    """What a maker publishes of a GPU.

    Attributes:
        name: of the model.
        teraflops: by dtype, 10 ** 12 operations a second of dense products, a multiply-add being two.
        bandwidth: of its memory, 10 ** 9 bytes a second.
    """

    name: str
    teraflops: dict[str, float]
    bandwidth: float


DEVICES = {
    'v100': Device('V100 SXM2', {'float32': 15.7, 'tf32': 15.7, 'float16': 125.0, 'bfloat16': 15.7}, 900.0),
    'a100': Device('A100 40 GB', {'float32': 19.5, 'tf32': 156.0, 'float16': 312.0, 'bfloat16': 312.0}, 1555.0),
    'h100': Device('H100 SXM5', {'float32': 66.9, 'tf32': 494.7, 'float16': 989.4, 'bfloat16': 989.4}, 3352.0),
    'rtx4090': Device('RTX 4090', {'float32': 82.6, 'tf32': 82.6, 'float16': 165.2, 'bfloat16': 165.2}, 1008.0),
}  # fmt: skip
"""GPUs by the name that the command takes; the figures are of the makers' data sheets."""

DTYPES = {
    'float32': torch.float32,
    'tf32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


@dataclass
class Work:
    """What a step asks of a device.

    Attributes:
        kernels: (operations of products, bytes) of each.
        peak: bytes of all tensors that were alive at a time, without the model's weights.
    """

    kernels: list[tuple[int, int]] = field(default_factory=list)
    peak: int = 0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all products."""
        return sum(operations for operations, _ in self.kernels) // 2

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return sum(moved for _, moved in self.kernels)

    def seconds(self, device: Device, dtype: str) -> float:
        """Return the time on the device, if the host keeps up with it."""
        products = 1e12 * device.teraflops[dtype] * PRODUCTS_REACH
        memory = 1e9 * device.bandwidth * MEMORY_REACHES
        return sum(max(each / products, moved / memory) for each, moved in self.kernels)

    @property
    def host_seconds(self) -> float:
        """Time that the host takes to start all of it."""
        return KERNEL_OF_THE_HOST * len(self.kernels)


@dataclass(frozen=True)
class Estimate:
    """A step on a device.

    Attributes:
        work: of it.
        device_seconds: on the device.
        memory: bytes of weights, of what the step keeps, and in training of gradients and the optimizer's state.
    """

    work: Work
    device_seconds: float
    memory: int

    @property
    def seconds(self) -> float:
        """Of the device or of the host, whichever is slower."""
        return max(self.device_seconds, self.work.host_seconds)


def estimate(
    model: EncoderDecoder,
    size: tuple[int, int],
    device: Device,
    *,
    dtype: str = 'float32',
    batch: int = 1,
    is_training: bool = False,
) -> Estimate:
    """Estimate a forward pass to logits, or a training step without the optimizer's.

    Args:
        model: ours or mmseg's, on any device; it is copied.
        size: height and width of the images in pixels.
        device: one of ``DEVICES``, or another.
        dtype: ``'float32'``, ``'tf32'``, ``'bfloat16'`` or ``'float16'``; in training the products' alone.
        batch: images at once.
        is_training: whether loss and gradients are computed.

    Raises:
        ArchitectureError: nothing tells how many channels an image has.
    """
    channels = image_channels(model.backbone)
    if channels is None:
        raise ArchitectureError(
            f'{type(model.backbone).__name__} does not tell how many channels of an image it takes'
        )
    on_meta = copy.deepcopy(model).to('meta')
    images = torch.empty(batch, channels, *size, device='meta')
    if is_training:
        step = _training_step(on_meta.train(), images)
    else:
        on_meta = on_meta.eval().to(DTYPES[dtype])
        step = _forward(on_meta, images.to(DTYPES[dtype]))
    work = count(step)
    if is_training and DTYPES[dtype] != torch.float32:
        # Autocast: what is read and written by products is half as wide.
        work.kernels = [(each, moved // 2 if each else moved) for each, moved in work.kernels]
    weights = sum(p.numel() * p.element_size() for p in on_meta.parameters())
    per_weight = _BYTES_PER_WEIGHT // 4 if is_training else 1
    return Estimate(work, work.seconds(device, dtype), weights * per_weight + work.peak)


def _forward(model: EncoderDecoder, images: Tensor) -> Callable[[], Any]:
    def forward() -> Any:
        with torch.no_grad():
            return model.decode_head(model.backbone(images))

    return forward


def _training_step(model: EncoderDecoder, images: Tensor) -> Callable[[], Any]:
    size = tuple(images.shape[2:])
    labels = (
        torch.empty(model.num_classes, *size, dtype=torch.uint8, device='meta')
        if is_multi_label(model)
        else torch.empty(1, *size, dtype=torch.int64, device='meta')
    )
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=dict(img_shape=size))
        for _ in images
    ]

    def step() -> Any:
        losses = model.loss(images, samples)
        total = torch.stack([v for name, v in losses.items() if 'loss' in name]).sum()
        return torch.autograd.grad(total, [p for p in model.parameters() if p.requires_grad])

    return step


def count(step: Callable[[], Any]) -> Work:
    """Run a step on the meta device and count its kernels and what they keep alive."""
    work = Work()
    with _every_pixel_counts(), _Fused(work), _Counter(work):
        step()
    return work


@contextlib.contextmanager
def _every_pixel_counts() -> Iterator[None]:
    """Let mmseg's losses, which pick the pixels that count, go on where no pixel has a value."""
    before = fx_config.meta_nonzero_assume_all_nonzero
    fx_config.meta_nonzero_assume_all_nonzero = True
    try:
        yield
    finally:
        fx_config.meta_nonzero_assume_all_nonzero = before


class _Counter(TorchDispatchMode):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        on_meta = [
            each
            for each in tree_leaves((args, kwargs, found))
            if isinstance(each, Tensor) and each.device.type == 'meta'
        ]
        if not on_meta:
            return found
        # A view of a weight, or of what is counted already, is nothing new.
        given = {_key(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for each in tree_leaves(found):
            if isinstance(each, Tensor) and _key(each) not in given:
                self._keep(each)
        if function.overloadpacket.__name__ not in _VIEWS:
            formula = flop_registry.get(function.overloadpacket)
            operations = 0 if formula is None else formula(*args, **(kwargs or {}), out_val=found)
            moved = sum(each.numel() * each.element_size() for each in _distinct(on_meta))
            self._work.kernels.append((operations, moved))
        return found

    def _keep(self, tensor: Tensor) -> None:
        """Count a storage as long as it lives."""
        storage = tensor.untyped_storage()
        key, size = _key(tensor), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._alive += size
        self._work.peak = max(self._work.peak, self._alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._alive -= size


class _Fused(TorchFunctionMode):
    """Attention as one kernel, which it is on a GPU, and not as the steps that the meta device takes."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is not F.scaled_dot_product_attention or torch.is_grad_enabled():
            return function(*args, **kwargs)
        q, k, v = args[:3]
        mask = kwargs.get('attn_mask')
        out = torch.empty_like(q)
        read = [each for each in (q, k, v, mask, out) if each is not None]
        operations = 4 * q.numel() * k.shape[-2]
        moved = sum(each.numel() * each.element_size() for each in read)
        self._work.kernels.append((operations, moved))
        return out


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _distinct(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list({id(each): each for each in tensors}.values())


def format_estimates(
    model: nn.Module,
    sides: Sequence[int],
    device: Device,
    *,
    dtype: str,
    batch: int,
) -> str:
    """Return a table of predictions and training steps on square images.

    Args:
        model: a segmentor.
        sides: of the images in pixels.
        device: one of ``DEVICES``.
        dtype: as in :func:`estimate`.
        batch: images at once.
    """
    rows = [
        f'{device.name}, {dtype}, {batch} at a time: an estimate from the published {device.teraflops[dtype]:g} '
        f'TFLOP/s and {device.bandwidth:g} GB/s',
        f'{"image":>13} {"step":>8} {"multiply-adds (G)":>18} {"moved (GB)":>11} {"kernels":>8} '
        f'{"device (ms)":>12} {"host (ms)":>10} {"images/s":>9} {"memory (GB)":>12}',
    ]
    for side in sides:
        for is_training in (False, True):
            found = estimate(
                model, (side, side), device, dtype=dtype, batch=batch, is_training=is_training
            )
            image, step = f'{side} x {side}', 'train' if is_training else 'predict'
            rows.append(
                f'{image:>13} {step:>8} {found.work.multiply_adds / 1e9:>18.1f} '
                f'{found.work.moved / 1e9:>11.2f} {len(found.work.kernels):>8} '
                f'{1e3 * found.device_seconds:>12.1f} {1e3 * found.work.host_seconds:>10.1f} '
                f'{batch / found.seconds:>9.1f} {found.memory / 1e9:>12.2f}'
            )
    return '\n'.join(rows)
