"""A close look at the first batch of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import HOOKS
from torch import nn

from swinseg.engine.memory import ActivationMeter, describe_memory, memory_advice
from swinseg.errors import TrainingError
from swinseg.models.multi_label import check_targets, is_multi_label


@HOOKS.register_module()
class FirstBatchHook(Hook):
    """Check the labels of the first batch, turn what fails in its step into advice, and say what memory it takes.

    The first iteration is the trial: a forward and backward pass before it would find the same mistakes a second
    earlier, but move the statistics of batch norms, the random numbers and the order of the images.
    """

    priority = 'HIGH'  # outside of AccumulationHook

    def __init__(self) -> None:
        self._meter: ActivationMeter | None = None

    def before_train(self, runner: Any) -> None:
        """Measure the first step, and no other."""
        model = runner.model
        step = model.train_step
        self._meter = ActivationMeter(model)

        def measured(data: Mapping[str, Any], optim_wrapper: OptimWrapper) -> Any:
            assert self._meter is not None
            model.train_step = step
            with memory_advice(), self._meter.measuring():
                return step(data, optim_wrapper=optim_wrapper)

        model.train_step = measured

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Mapping[str, Any] | None = None
    ) -> None:
        """Check the labels of the first batch."""
        if self._meter is None or data_batch is None:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = getattr(model, 'decode_head', None)
        if isinstance(head, nn.ModuleList):  # of a cascade
            head = head[-1]
        if not isinstance(head, BaseDecodeHead):
            return
        samples = data_batch.get('data_samples') or ()
        several = is_multi_label(model)
        for sample in samples:
            check_targets(sample, classes=head.out_channels if several else None)
        is_void = check_labels(
            samples,
            num_classes=2 if several else head.num_classes,
            ignore_index=head.ignore_index,
        )
        if is_void:
            runner.logger.warning(
                'no pixel of the first batch belongs to a class, all are ignored: look at label_map, '
                'ignore_values and reduce_zero_label of the dataset'
            )

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Say what memory the first step took."""
        if self._meter is not None:
            runner.logger.info(describe_memory(runner, activations=self._meter.peak))
            self._meter = None


def check_labels(samples: Sequence[Any], *, num_classes: int, ignore_index: int) -> bool:
    """Look for values in labels that are no class.

    Args:
        samples: with ``gt_sem_seg``, (1, H, W) int64 or (C, H, W) uint8 planes, and ``seg_map_path`` in their
            metainfo.
        num_classes: classes are 0 to ``num_classes - 1``; of planes 2.
        ignore_index: allowed as well.

    Returns:
        Whether no pixel of any sample belongs to a class.

    Raises:
        TrainingError: a value is neither a class nor ``ignore_index``.
    """
    is_void = True
    for sample in samples:
        values = torch.unique(sample.gt_sem_seg.data).tolist()
        wrong = [v for v in values if v != ignore_index and not 0 <= v < num_classes]
        if wrong:
            raise TrainingError(
                f'the label of {sample.metainfo.get("seg_map_path", "a sample")} has the value {wrong[0]} after '
                f'loading, expected classes 0 to {num_classes - 1} or ignore_index {ignore_index}; set label_map '
                'or reduce_zero_label of the dataset, or num_classes of the heads'
            )
        is_void = is_void and all(v == ignore_index for v in values)
    return is_void and bool(samples)
