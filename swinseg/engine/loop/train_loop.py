"""The training loops: they go on exactly where a checkpoint was written, and leave one when they must end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg.registry import LOOPS
from torch import nn

from swinseg.datasets.sampling import ResumableSampler
from swinseg.engine.checkpoint.randomness import generator_states, set_generator_states
from swinseg.engine.checks.batch_norm import batch_norm_advice
from swinseg.engine.distributed.fsdp import ShardAfterValidationHook
from swinseg.engine.loop.data_workers import LoadingError, WaitInterrupted
from swinseg.errors import ConfigError, Interrupted, TrainingError
from swinseg.signals import quiet_children

# Several processes ask each other this often whether one has had a signal: asking waits for the GPU.
_ITERATIONS_BETWEEN_QUESTIONS = 10


def position_of(runner: Any) -> str:
    """Return where a training is, for a sentence: ``'iteration 3'``, or ``'iteration 3 (epoch 1)'``."""
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return f'iteration {loop.iter}'
    # In the middle of an epoch it counts as the one that is going on.
    epoch = loop.epoch + (getattr(loop, 'iterations_of_epoch', 0) > 0)
    return f'iteration {loop.iter} (epoch {epoch})'


class _InterruptibleLoop:
    """What both loops share: batches that do not come, signals, validations that are due, and saving."""

    runner: Any
    dataloader: Any
    dataloader_iterator: Any
    _iter: int

    def _next_batch(self) -> Any:
        with self._saved_when_loading_fails():
            return next(self.dataloader_iterator)

    @contextlib.contextmanager
    def _saved_when_loading_fails(self, *, in_validation: bool = False) -> Iterator[None]:
        """Save what was trained when no batch comes in the block, and say so."""
        place = f'{"during the validation at " if in_validation else ""}{position_of(self.runner)}'
        try:
            yield
        except (LoadingError, WaitInterrupted) as error:
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

    def _validate(self) -> None:
        """Validate, unless the checkpoint that was resumed was written after this validation."""
        if self.runner.message_hub.runtime_info['validated_at'] == self._iter:
            return
        with self._saved_when_loading_fails(in_validation=True), self.runner.generators_kept():
            self.runner.val_loop.run()

    def _take_validations(self) -> None:
        """Note which validation was done when the checkpoint was written."""
        info = self.runner.message_hub
        # A checkpoint of mmengine does not tell; then its validation is taken for done.
        info.update_info('validated_at', info.runtime_info.get('validated_at', self._iter))

    def _put_trained_weights_back(self) -> None:
        """Undo what hooks have done to the weights for a validation that does not come to its end."""
        for hook in self.runner.hooks:
            if isinstance(hook, (ShardAfterValidationHook, EMAHook)):
                hook.after_val_epoch(self.runner)

    def _stop_if_requested(self) -> None:
        signum = self._signal_of_any_process()
        if not signum or self._is_between_parts_of_a_step():
            return
        raise Interrupted(
            f'{signal.Signals(signum).name}: stopped at {position_of(self.runner)}{self._save()}; go on with '
            f'--work-dir {self.runner.work_dir} --resume',
            signum,
        )

    def _is_between_parts_of_a_step(self) -> bool:
        """Whether gradients wait for those of further batches; a checkpoint does not hold them."""
        wrapper = self.runner.optim_wrapper
        parts = getattr(wrapper, '_accumulative_counts', 1)  # several optimizers have none
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

    def _warn_of_replay(self, iterations: int) -> None:
        if iterations:
            self.runner.logger.warning(
                f'loading the images of {iterations} iterations again, for '
                f'{type(self.dataloader.sampler).__name__} can only start at the beginning; '
                "train_dataloader.sampler.type='ResumableSampler' need not"
            )


@LOOPS.register_module()
class ExactTrainLoop(_InterruptibleLoop, IterBasedTrainLoop):
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
        self._take_validations()
        if not isinstance(self.dataloader.sampler, ResumableSampler):
            self._warn_of_replay(self._iter)
            for _ in range(self._iter):
                self._next_batch()
        runner.restore_generators()
        with quiet_children(), batch_norm_advice():
            self._stop_if_requested()
            self._decide_current_val_interval()
            self._validate_if_due()
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                self.run_iter(self._next_batch())
                self._stop_if_requested()
                self._decide_current_val_interval()
                self._validate_if_due()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def seek(self, name: str) -> None:
        """Compare the iteration that was taken over from a checkpoint with the length of the training.

        Args:
            name: of the checkpoint.

        Raises:
            ConfigError: the training ends before it.
        """
        _require_longer('iteration', self._iter, 'max_iters', self._max_iters, name=name)

    def samples_seen(self, meta: Mapping[str, Any]) -> int:
        """Return the position of the sampler, over all processes, at the iteration of a checkpoint's ``meta``."""
        iterations = meta['iter'] - self.runner.started_at
        loader = self.dataloader
        return loader.sampler.start + iterations * loader.batch_size * get_world_size()

    def _validate_if_due(self) -> None:
        is_due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and is_due and self._iter >= self.val_begin:
            self._validate()


@LOOPS.register_module()
class ExactEpochTrainLoop(_InterruptibleLoop, EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, for which :class:`swinseg.engine.SwinsegRunner` takes this one.

    An epoch is a pass over the training set. It may be left in its middle, and a resumed run goes on there.

    Attributes:
        iterations_of_epoch: how many of them are done. All of them only until the hooks of its end have run.
    """

    iterations_of_epoch = 0
    _epoch: int

    def seek(self, name: str) -> None:
        """Find out where in its epoch a checkpoint was written, after its iteration and epoch were taken over.

        Args:
            name: of the checkpoint.

        Raises:
            ConfigError: the training ends before it.
        """
        length, info = len(self.dataloader), self.runner.message_hub
        before = info.runtime_info.get('epoch_length')
        info.update_info('epoch_length', length)
        if type(before) is not int or before < 1:
            # mmengine's checkpoints do not tell, but most of them are written at the ends of epochs.
            is_whole = self._epoch > 0 and self._iter % self._epoch == 0
            before = self._iter // self._epoch if is_whole else length
        done = self._iter - self._epoch * before
        if not 0 <= done <= before:  # of a training that counted iterations
            self._epoch, done = divmod(self._iter, length)
        elif before != length:
            self._epoch += done == before
            if 0 < done < before:
                self.runner.logger.warning(
                    f'an epoch of the checkpoint has {before} iterations and one of this run {length}: epoch '
                    f'{self._epoch + 1}, of which {done} were done, begins anew'
                )
            done = 0
        _require_longer('epoch', self._epoch, 'max_epochs', self._max_epochs, name=name)
        self.iterations_of_epoch = done
        self._max_iters = self._iter - done + (self._max_epochs - self._epoch) * length

    def run(self) -> nn.Module:
        """Train from where the checkpoint was written to the end of the last epoch.

        Raises:
            Interrupted: a signal came; what was trained is saved.
            TrainingError: a process that loads images has died or hangs; what was trained is saved.
        """
        runner = self.runner
        runner.message_hub.update_info('epoch_length', len(self.dataloader))
        runner.call_hook('before_train')
        self._take_validations()
        runner.restore_generators()
        with quiet_children(), batch_norm_advice():
            self._stop_if_requested()
            self._decide_current_val_interval()
            self._validate_if_due()
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                self._stop_if_requested()
                self._decide_current_val_interval()
                self._validate_if_due()
        runner.call_hook('after_train')
        return runner.model

    def run_epoch(self) -> None:
        """Train on what is left of the epoch."""
        runner, length = self.runner, len(self.dataloader)
        runner.call_hook('before_train_epoch')
        runner.model.train()
        self._begin_batches()
        for index in range(self.iterations_of_epoch, length):
            self.run_iter(index, self._next_batch())
            self.iterations_of_epoch = index + 1
            if index + 1 < length:
                self._stop_if_requested()
        runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.iterations_of_epoch = 0

    def _begin_batches(self) -> None:
        """Begin to load the batches that are left of the epoch."""
        loader, done = self.dataloader, self.iterations_of_epoch
        if isinstance(loader.sampler, ResumableSampler):
            # With a batch_sampler of its own the loader has no batch size, and its sampler is another one.
            loader.sampler.set_epoch(self._epoch, done * loader.batch_size * get_world_size())
            self.dataloader_iterator = _iterator_of(loader)
            return
        self.dataloader_iterator = _iterator_of(loader)
        self._warn_of_replay(done)
        for _ in range(done):
            self._next_batch()
        if done:
            self.runner.restore_generators()

    def samples_seen(self, meta: Mapping[str, Any]) -> int:
        """Return the position of the sampler, over all processes, at the place of a checkpoint's ``meta``."""
        loader = self.dataloader
        first = self._iter - self.iterations_of_epoch  # the iteration before this epoch
        done = 0 if meta['epoch'] > self._epoch else meta['iter'] - first
        begin = meta['epoch'] * loader.sampler.samples_per_epoch
        return begin + done * loader.batch_size * get_world_size()

    def _validate_if_due(self) -> None:
        is_due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.iterations_of_epoch or self._epoch < self.val_begin or not is_due:
            return
        if self.runner.val_loop is not None:
            self._validate()


def _require_longer(unit: str, done: int, key: str, length: int, *, name: str) -> None:
    if done > length:
        raise ConfigError(
            f'{name} was written after {unit} {done}, but train_cfg.{key}={length} ends the training before: set '
            f'train_cfg.{key} above {done} to train on, or start a new run from its weights with '
            f'load_from={name!r}'
        )


def _iterator_of(loader: Any) -> Any:
    """Return an iterator over a loader's batches; PyTorch's draws a seed for its workers from the training's."""
    states = generator_states()
    try:
        return iter(loader)
    finally:
        set_generator_states(states)
