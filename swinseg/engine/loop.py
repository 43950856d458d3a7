"""The training loop: it goes on exactly where a checkpoint was written, and leaves one when it must end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import LOOPS
from torch import nn

from swinseg.datasets.sampling import ResumableSampler
from swinseg.engine.data_workers import LoadingError, StoppedWaiting
from swinseg.engine.errors import TrainingError
from swinseg.engine.sharding import ShardAfterValidationHook
from swinseg.engine.signals import quiet_children
from swinseg.errors import Interrupted

# Several processes ask each other this often whether one has had a signal: asking waits for the GPU.
_ITERATIONS_BETWEEN_QUESTIONS = 10


@LOOPS.register_module()
class ExactTrainLoop(IterBasedTrainLoop):
    """mmengine's ``IterBasedTrainLoop``, for which :class:`swinseg.engine.SwinsegRunner` takes this one.

    mmengine's loads all images again that were seen before a resume, and forgets a validation that was due.
    Validation here draws from copies of the random generators, so it leaves no trace in the training.
    """

    def run(self) -> nn.Module:
        """Train from the iteration of the checkpoint to the last one.

        Raises:
            Interrupted: a signal came; what was trained is saved.
            TrainingError: a process that loads images has died or hangs; what was trained is saved.
        """
        runner = self.runner
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        # A checkpoint of mmengine does not tell; then its validation is taken for done.
        validated_at = runner.message_hub.runtime_info.get('validated_at', self._iter)
        runner.message_hub.update_info('validated_at', validated_at)
        if not isinstance(self.dataloader.sampler, ResumableSampler):
            self._replay()
        runner.restore_generators()
        with quiet_children():
            self._leave_if_asked()
            self._decide_current_val_interval()
            self._validate_if_due()
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                self.run_iter(self._next_batch())
                self._leave_if_asked()
                self._decide_current_val_interval()
                self._validate_if_due()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def _replay(self) -> None:
        """Bring a sampler that starts nowhere but at the beginning to where the earlier run was."""
        if self._iter:
            self.runner.logger.warning(
                f'loading the images of {self._iter} iterations again, for '
                f'{type(self.dataloader.sampler).__name__} can only start at the beginning; '
                "train_dataloader.sampler.type='ResumableSampler' need not"
            )
        for _ in range(self._iter):
            self._next_batch()

    def _next_batch(self) -> Any:
        with self._saved_when_loading_fails():
            return next(self.dataloader_iterator)

    @contextlib.contextmanager
    def _saved_when_loading_fails(self, *, in_validation: bool = False) -> Iterator[None]:
        """Save what was trained when no batch comes in the block, and say so."""
        place = f'{"during the validation at " if in_validation else ""}iteration {self._iter}'
        try:
            yield
        except (LoadingError, StoppedWaiting) as error:
            if in_validation:
                self._put_trained_weights_back()
            place += self._save_if_whole()
            if isinstance(error, LoadingError):
                raise TrainingError(f'{error} ({place}; go on with --resume)') from error
            name = signal.Signals(error.signum).name
            raise Interrupted(
                f'{name}: stopped {"" if in_validation else "at "}{place}, while waiting for images'
                f'{error.culprit}; go on with --work-dir {self.runner.work_dir} --resume',
                error.signum,
            ) from None

    def _save_if_whole(self) -> str:
        """Save where that is possible: other processes wait in the middle of a step and would not take part."""
        if get_world_size() > 1 or self._is_between_parts_of_a_step():
            return ''
        return self._save()

    def _validate_if_due(self) -> None:
        """Validate, unless the checkpoint that was resumed was written after this validation."""
        loop, info = self.runner.val_loop, self.runner.message_hub.runtime_info
        is_due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if loop is None or not is_due or self._iter < self.val_begin:
            return
        if info['validated_at'] == self._iter:
            return
        with self._saved_when_loading_fails(in_validation=True), self.runner.generators_kept():
            loop.run()

    def _put_trained_weights_back(self) -> None:
        """Undo what hooks have done to the weights for a validation that does not come to its end."""
        for hook in self.runner.hooks:
            if isinstance(hook, (ShardAfterValidationHook, EMAHook)):
                hook.after_val_epoch(self.runner)

    def _leave_if_asked(self) -> None:
        signum = self._signal_of_any_process()
        if not signum or self._is_between_parts_of_a_step():
            return
        raise Interrupted(
            f'{signal.Signals(signum).name}: stopped at iteration {self._iter}{self._save()}; go on with '
            f'--work-dir {self.runner.work_dir} --resume',
            signum,
        )

    def _is_between_parts_of_a_step(self) -> bool:
        """Whether gradients wait for those of further batches; a checkpoint does not hold them."""
        wrapper = self.runner.optim_wrapper
        parts = getattr(wrapper, '_accumulative_counts', 1)  # several optimisers have none
        return parts > 1 and wrapper._inner_count % parts != 0

    def _signal_of_any_process(self) -> int:
        signum = self.runner.stop.signum
        if get_world_size() == 1:
            return signum
        if self._iter % _ITERATIONS_BETWEEN_QUESTIONS:
            return 0
        highest = torch.tensor(signum)
        all_reduce(highest, 'max')
        return int(highest)

    def _save(self) -> str:
        """Save what was trained, and say so."""
        if self._iter == self.runner.started_at:
            return ', before anything was trained'
        if self.runner.saved_at != self._iter:
            self.runner.save_now()
        return ', which is saved'
