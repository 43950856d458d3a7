"""Checkpoints of a run: atomic writes, the best by a metric, and the removal of old ones."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmseg.registry import HOOKS

from swinseg.engine.checkpoint.finding import checkpoints_in, has_checkpoint
from swinseg.engine.checks.metrics import require_metric, validation_metrics
from swinseg.files import OutputError, remove_partial_files

_BEST = re.compile(r'best_.+\.pth')
_STEP_IN_EPOCH = re.compile(r'[0-9]+_iter_[0-9]+')


@dataclass(frozen=True)
class Best:
    """The checkpoint of the best validation so far by one metric.

    Attributes:
        metric: such as ``'mIoU'``.
        score: its value.
        checkpoint: path of the weights.
    """

    metric: str
    score: float
    checkpoint: Path


def bests_of(runner: Any) -> tuple[Best, ...]:
    """Return the best checkpoints of a training, one for each metric that its ``save_best`` names."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or not hook.save_best:
        return ()
    names, info = hook.key_indicators, runner.message_hub.runtime_info
    found = []
    for name in names:
        ending = f'_{name}' if len(names) > 1 else ''
        score, path = info.get(f'best_score{ending}'), info.get(f'best_ckpt{ending}')
        if score is not None and path is not None:
            found.append(Best(name, float(score), Path(path)))
    return tuple(found)


class _DeferredRemovals:
    """A file backend of mmengine whose ``remove`` waits until the new file is there."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._pending: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._pending.append(path)

    def flush(self, *, keep: Sequence[str | None]) -> None:
        while self._pending:
            path = self._pending.pop()
            if path not in keep and self._backend.isfile(path):
                self._backend.remove(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` that removes an old checkpoint only after the new one is on disk.

    mmengine removes first: a kill in between leaves no best checkpoint, or none at all with
    ``max_keep_ckpts=1``. Takes the arguments of ``CheckpointHook``.

    Raises:
        ConfigError: ``save_best`` names a figure that validations do not give.
    """

    _saved_iteration: int | None = None

    def before_train(self, runner: Any) -> None:
        """Find out what earlier runs have left, and put removals off from here on."""
        _forget_other_files(runner.message_hub.runtime_info)
        super().before_train(runner)
        best: str | None = getattr(self, 'best_ckpt_path', None)
        if best is not None:
            self.best_ckpt_path = self._in_this_folder(best)
        for metric, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[metric] = self._in_this_folder(path)
        self.file_backend: Any = _DeferredRemovals(self.file_backend)
        if is_main_process():
            remove_partial_files(self.out_dir, suffix='.pth')
        self._warn_of_split_steps(runner)
        figures = validation_metrics(runner)
        for name in self.save_best or ():
            if figures and name != 'auto':
                require_metric(name, figures, setting='default_hooks.checkpoint.save_best')

    def _in_this_folder(self, path: str | None) -> str | None:
        """Return a checkpoint's place in this run's folder; that of the run that was resumed is left alone."""
        here = Path(self.out_dir) / Path(path or '').name
        return str(here) if here.is_file() else None

    def save_now(self, runner: Any) -> None:
        """Save between two iterations, as one more of the checkpoints that are kept.

        In the middle of an epoch it is named ``epoch_<whole epochs>_iter_<iteration>.pth``.
        """
        step = runner.iter
        if self.by_epoch:
            is_between = runner.train_loop.iterations_of_epoch == 0
            step = runner.epoch if is_between else f'{runner.epoch}_iter_{runner.iter}'
        meta = {'epoch': runner.epoch, 'iter': runner.iter}
        self._save_checkpoint_with_step(runner, step, meta=meta)

    def _warn_of_split_steps(self, runner: Any) -> None:
        parts = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        interval = self.interval * (len(runner.train_dataloader) if self.by_epoch else 1)
        if interval > 0 and interval % parts:
            runner.logger.warning(
                f'checkpoints every {interval} iterations fall between the {parts} batches of a step, whose '
                f'gradients they do not hold; let default_hooks.checkpoint.interval be a multiple of {parts}'
            )

    def _save_checkpoint_with_step(self, runner: Any, step: int | str, meta: dict) -> None:
        try:
            super()._save_checkpoint_with_step(runner, step, meta=meta)
        except OSError as error:  # of the file `last_checkpoint`
            raise OutputError(
                f'cannot write to {runner.work_dir}: {error.strerror or error}'
            ) from error
        self._saved_iteration = meta.get('iter')
        self._flush()

    def save_again(self, runner: Any) -> None:
        """Write the checkpoint of this iteration again, if there is one: what it keeps has changed since."""
        if self._saved_iteration == runner.iter:
            self.save_now(runner)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        for name in self.save_best or ():
            if name != 'auto':
                require_metric(name, metrics, setting='default_hooks.checkpoint.save_best')
        super()._save_best_checkpoint(runner, metrics)
        self._flush()

    def _flush(self) -> None:
        if is_main_process() and isinstance(self.file_backend, _DeferredRemovals):
            best = getattr(self, 'best_ckpt_path', None)
            bests = getattr(self, 'best_ckpt_path_dict', {}).values()
            self.file_backend.flush(keep=(self.last_ckpt, best, *bests))


def _forget_other_files(info: dict[str, Any]) -> None:
    """Leave out of a run's information what names no checkpoint of mmengine's: what it names is removed in time.

    It comes from the checkpoint that was resumed, which may come from anyone.
    """
    for key in [key for key in info if key == 'best_ckpt' or str(key).startswith('best_ckpt_')]:
        if not isinstance(info[key], str) or not _BEST.fullmatch(Path(info[key]).name):
            del info[key]
    steps = info.get('keep_ckpt_ids')
    if not isinstance(steps, list) or not all(
        type(step) is int or (isinstance(step, str) and _STEP_IN_EPOCH.fullmatch(step))
        for step in steps
    ):
        info.pop('keep_ckpt_ids', None)


@contextlib.contextmanager
def with_resume_hint(folder: str | Path) -> Iterator[None]:
    """Add the last whole checkpoint in ``folder`` to what is said when a new one cannot be written.

    Raises:
        OutputError: in place of the one of the block.
    """
    try:
        yield
    except OutputError as error:
        whole = checkpoints_in(folder)[0].name if has_checkpoint(folder) else None
        advice = (
            f'the last whole checkpoint is {whole}: make room and go on with --resume'
            if whole
            else 'there is no checkpoint yet'
        )
        raise OutputError(f'{error}; {advice}') from error
