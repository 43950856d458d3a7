"""An alarm where a training is far below what its config is known to reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from swinseg.engine.errors import ConfigError


@HOOKS.register_module()
class ExpectedCurveHook(Hook):
    """Warn at a validation whose mIoU is far below a curve that was measured before.

    Args:
        points: (iteration, mIoU in percent) of validations of an earlier run, iterations rising. A validation is
            compared with the last point that is not after it, and with none before the first.
        share: how much of it must be reached.

    Raises:
        ConfigError: the points are no such pairs.
    """

    def __init__(self, points: Sequence[Sequence[float]], share: float = 0.5) -> None:
        pairs = [tuple(point) for point in points]
        iterations = [pair[0] for pair in pairs]
        if not pairs or any(len(pair) != 2 for pair in pairs) or iterations != sorted(iterations):
            raise ConfigError(
                'points of ExpectedCurveHook must be pairs of iteration and mIoU in percent, with rising '
                f'iterations, such as [(200, 43.0), (600, 69.0)], found {points!r}'
            )
        self.points = pairs
        self.share = share

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare the mIoU of a validation during training."""
        known = [miou for iteration, miou in self.points if iteration <= runner.iter]
        found = (metrics or {}).get('mIoU')
        if (
            runner.is_training_run
            and known
            and found is not None
            and found < self.share * known[-1]
        ):
            runner.logger.warning(
                f'mIoU {found:.2f} at iteration {runner.iter} is far below the {known[-1]:g} that this config '
                'has reached by then: look at the receipt of the weights, at the line about the batch, and with '
                'tools/check_dataset.py at the labels'
            )
