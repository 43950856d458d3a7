"""The loss of the validation set, beside its metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.structures import PixelData
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from swinseg.inference.tiling import window_starts
from swinseg.visualization.training.scalars import VALIDATION_LOSS


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Log ``val_loss``, the training's loss on the images of each validation, and ``val_<part>`` for its parts.

    It is the mean over the images of what all heads and losses of the model give for them, in evaluation: batch
    norms with their running statistics, nothing dropped. Labels are resized (nearest) to the size of the image
    that the network sees, as in training. Of a model that is tested by windows the loss is computed in windows
    that do not overlap, weighted by their pixels that count.

    A config gets this hook from ``validation_loss=True``. Early stopping and ``save_best`` may name ``val_loss``.
    An image costs a second forward pass.
    """

    priority = 'HIGHEST'  # other hooks find the figure among those of the metrics

    def __init__(self) -> None:
        self._losses: dict[str, list[float]] = defaultdict(list)

    def before_val_epoch(self, runner: Any) -> None:
        """Forget the losses of the validation before."""
        self._losses.clear()

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Compute the losses of a batch, image by image."""
        model = runner.bare_model
        pairs = zip(data_batch['inputs'], data_batch['data_samples'], strict=True)
        for image, sample in pairs:
            if 'gt_sem_seg' in sample:
                for name, value in _losses_of(model, image, sample).items():
                    self._losses[name].append(value)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Add the means to the figures."""
        size = len(runner.val_dataloader.dataset)
        # Samplers give the last processes an image more than they have; it counts once.
        own = len(range(get_rank(), size, get_world_size()))
        for name, values in self._losses.items():
            total = torch.tensor([sum(values[:own]), len(values[:own])], dtype=torch.float64)
            all_reduce(total)
            mean = float(total[0] / total[1])
            if name == 'loss':
                (metrics if metrics is not None else {})[VALIDATION_LOSS] = mean
            else:
                runner.message_hub.update_scalar(f'val/val_{name}', mean)


def _losses_of(model: Any, image: Tensor, sample: SegDataSample) -> dict[str, float]:
    """Return the losses of one image.

    Args:
        model: a segmentor in evaluation.
        image: (C, H, W) as the data loader gives it.
        sample: with ``gt_sem_seg``, (1, h, w).
    """
    label = _resized(sample.gt_sem_seg.data, image.shape[1:])
    own = SegDataSample(metainfo=sample.metainfo, gt_sem_seg=PixelData(data=label))
    data = model.data_preprocessor({'inputs': [image], 'data_samples': [own]}, training=False)
    inputs: Tensor = data['inputs']
    ignored: int = model.decode_head.ignore_index
    height, width = (inputs.shape[axis] - label.shape[axis - 1] for axis in (2, 3))
    label = F.pad(data['data_samples'][0].gt_sem_seg.data, (0, width, 0, height), value=ignored)
    totals: dict[str, float] = defaultdict(float)
    count = 0
    for rows, columns in _windows(inputs.shape[2:], model.test_cfg):
        part = label[:, rows, columns]
        counted = int((part != ignored).sum())
        one = SegDataSample(
            metainfo={**sample.metainfo, 'img_shape': part.shape[1:]},
            gt_sem_seg=PixelData(data=part),
        )
        _, logs = model.parse_losses(model.loss(inputs[:, :, rows, columns], [one]))
        for name, value in logs.items():
            totals[name] += counted * float(value)
        count += counted
    return {name: total / max(1, count) for name, total in totals.items()}


def _resized(label: Tensor, size: Sequence[int]) -> Tensor:
    # The planes of several classes at a pixel stay bytes.
    dtype = label.dtype if label.dtype == torch.uint8 else torch.int64
    if tuple(label.shape[1:]) == tuple(size):
        return label.to(dtype)
    # Labels are whole numbers below 2 ** 24, which float32 holds exactly.
    return F.interpolate(label[None].float(), tuple(size), mode='nearest')[0].to(dtype)


def _windows(size: Sequence[int], test_cfg: Mapping[str, Any]) -> Iterator[tuple[slice, slice]]:
    if test_cfg.get('mode') != 'slide':
        yield slice(0, size[0]), slice(0, size[1])
        return
    tall, wide = test_cfg['crop_size']
    for top in window_starts(size[0], tall, tall):
        for left in window_starts(size[1], wide, wide):
            yield slice(top, top + tall), slice(left, left + wide)
