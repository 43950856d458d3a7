"""An alarm where a training is far below what its config is known to reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from swinseg.engine.hooks.runs import is_training_run
from swinseg.errors import ConfigError


@HOOKS.register_module()
class ExpectedCurveHook(Hook):
    """Warn at a validation whose mIoU is far below a curve that was measured before, or below its known end.

    Args:
        points: (iteration, mIoU in percent) of validations of an earlier run, iterations rising. A validation is
            compared with the last point that is not after it, and with none before the first.
        final: mIoU in percent at the end of an earlier run of which no more is known. Validations are compared
            with it from a tenth of the iterations on, by when a network whose backbone was trained before
            has passed half of it, and one whose backbone was not is far from it.
        share: how much of either must be reached.

    Raises:
        ConfigError: the points are no such pairs, the figure is none, or not one of the two is given.
    """

    def __init__(
        self,
        points: Sequence[Sequence[float]] | None = None,
        final: float | None = None,
        share: float = 0.5,
    ) -> None:
        if (points is None) == (final is None):
            raise ConfigError('ExpectedCurveHook takes points or final, one of the two')
        pairs = [tuple(point) for point in points or ()]
        iterations = [pair[0] for pair in pairs]
        if points is not None and (
            not pairs or any(len(pair) != 2 for pair in pairs) or iterations != sorted(iterations)
        ):
            raise ConfigError(
                'points of ExpectedCurveHook must be pairs of iteration and mIoU in percent, with rising '
                f'iterations, such as [(200, 43.0), (600, 69.0)], found {points!r}'
            )
        if final is not None and not 0 < final <= 100:
            raise ConfigError(
                f'final of ExpectedCurveHook must be an mIoU in percent, found {final!r}'
            )
        self.points = pairs
        self.final = final
        self.share = share

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare the mIoU of a validation during training."""
        found = (metrics or {}).get('mIoU')
        if not is_training_run(runner) or found is None:
            return
        if self.final is None:
            known = [miou for iteration, miou in self.points if iteration <= runner.iter]
            what = 'this config has reached by then'
        else:
            known = [self.final] if runner.iter >= runner.max_iters / 10 else []
            what = 'is published for the end of this config'
        if known and found < self.share * known[-1]:
            runner.logger.warning(
                f'mIoU {found:.2f} at iteration {runner.iter} is far below the {known[-1]:g} that {what}: look at '
                'the receipt of the weights, at the line about the batch, and with swinseg check at '
                'the labels'
            )
