"""What a checkpoint holds beside weights and optimiser, so that a run goes on as if it had never stopped."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

from swinseg.datasets.sampling import ResumableSampler
from swinseg.engine.randomness import set_generator_states
from swinseg.errors import Interrupted


def is_resumable(loader: Any) -> bool:
    """Whether the config of a data loader has a sampler that can start at any position.

    With a ``batch_sampler`` of its own it cannot: how many samples a batch takes is not known.
    """
    if loader.get('batch_sampler') is not None:
        return False
    kind = loader['sampler'].get('type') if isinstance(loader.get('sampler'), Mapping) else None
    return kind is ResumableSampler or str(kind).rpartition('.')[2] == ResumableSampler.__name__


def seeded_loader(
    loader: Mapping[str, Any], *, seed: int, resumed: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the config of a data loader whose samples have random numbers of their own, from a position on.

    Args:
        loader: a config for which :func:`is_resumable` holds; it is not changed.
        seed: of the run.
        resumed: the checkpoint that is resumed.
    """
    start = 0
    if resumed is not None:
        # A checkpoint of mmengine tells the iteration only, and one that cannot be resumed is refused later.
        iteration = (resumed.get('meta') or {}).get('iter', 0)
        seen = iteration * loader.get('batch_size', 1) * get_world_size()
        start = (resumed.get('sampler') or {}).get('position', seen)
    sampler = {'seed': seed, **loader['sampler'], 'start': start}
    dataset = {
        'type': 'SeededDataset',
        'dataset': loader['dataset'],
        'missing_files': sampler.get('missing_files', 'stop'),
    }
    return {**loader, 'sampler': sampler, 'dataset': dataset}


def sampler_state(loader: DataLoader, *, iterations: int) -> dict[str, int] | None:
    """Return where a loader's sampler is after ``iterations`` of this run, or None if it cannot start there."""
    if loader.batch_size is None or not isinstance(loader.sampler, ResumableSampler):
        return None
    seen = iterations * loader.batch_size * get_world_size()
    return {'position': loader.sampler.start + seen, 'size': loader.sampler.size}


def restore_generators(states: Sequence[Mapping[str, Any]] | None) -> None:
    """Put the random generators of this process where a checkpoint has them, or say that it cannot be.

    Args:
        states: those of each process, from :func:`swinseg.engine.randomness.generator_states`; None when the
            checkpoint has none.
    """
    if states is None:
        print_log(
            'the checkpoint has no states of random generators, as one of mmengine: dropout and stochastic depth '
            'draw other numbers than the run would have',
            logger='current',
            level=30,
        )
    elif len(states) != get_world_size():
        print_log(
            f'the checkpoint is of {len(states)} processes and this run has {get_world_size()}: dropout and '
            'stochastic depth draw other numbers than the run would have',
            logger='current',
            level=30,
        )
    else:
        set_generator_states(states[get_rank()])


@HOOKS.register_module()
class ResumeStateHook(Hook):
    """Put what resuming needs into checkpoints; :class:`swinseg.engine.SwinsegRunner` always has this hook.

    Args:
        images: size of the training set in the checkpoint that is resumed, where it tells.
    """

    priority = 'NORMAL'  # before the checkpoint hook, which saves after a validation again

    def __init__(self, images: int | None = None) -> None:
        self._images = images

    def before_train(self, runner: Any) -> None:
        """Say when the training set is another one than before."""
        images = len(runner.train_dataloader.dataset)
        if self._images not in (None, images):
            runner.logger.warning(
                f'the training set has {images} images and that of the checkpoint had {self._images}: '
                'the run goes on with an order of its own'
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add the states of the generators of all processes, and the position of the sampler."""
        if 'optimizer' not in checkpoint:
            return
        checkpoint['generators'] = runner.generator_states
        iterations = checkpoint['meta']['iter'] - runner.started_at
        state = sampler_state(runner.train_dataloader, iterations=iterations)
        if state is not None:
            checkpoint['sampler'] = state

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Leave a validation when a signal came and nothing would be lost: it is made up for after a resume."""
        if not runner.is_training_run or get_world_size() > 1 or not runner.stop.signum:
            return
        if runner.saved_at == runner.iter:
            raise Interrupted(
                f'{signal.Signals(runner.stop.signum).name}: stopped in the validation at iteration '
                f'{runner.iter}, which is saved; go on with --work-dir {runner.work_dir} --resume',
                runner.stop.signum,
            )

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Note that this validation is done."""
        if runner.is_training_run:
            runner.message_hub.update_info('validated_at', runner.iter)


@HOOKS.register_module()
class MissingFilesHook(Hook):
    """Count the files that were not there, and name each once; see ``missing_files`` of ``ResumableSampler``."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at what the data workers wrote into the samples."""
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        paths = [path for sample in samples for path in sample.metainfo.get('missing_files', ())]
        if not paths:
            return
        count = runner.message_hub.runtime_info.get('missing_files', 0) + len(paths)
        runner.message_hub.update_info('missing_files', count)
        for path in sorted(set(paths) - self._named):
            runner.logger.warning(
                f'{path} is gone; another image takes its place, as the sampler says ({count} so far)'
            )
        self._named.update(paths)
