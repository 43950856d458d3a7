"""State in a checkpoint beside weights and optimizer, so that a run goes on as if it had never stopped."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from swinseg.checkpoints import CheckpointError
from swinseg.datasets.sampling import ResumableSampler
from swinseg.engine.checkpoint.randomness import set_generator_states
from swinseg.engine.loop.train_loop import ExactEpochTrainLoop, ExactTrainLoop, position_of
from swinseg.errors import Interrupted
from swinseg.type_names import has_type


def is_resumable(loader: Any) -> bool:
    """Whether the config of a data loader has a sampler that can start at any position.

    With a ``batch_sampler`` of its own it cannot: how many samples a batch takes is not known.
    """
    if loader.get('batch_sampler') is not None:
        return False
    return has_type(loader.get('sampler'), ResumableSampler.__name__)


def seeded_loader(
    loader: Mapping[str, Any],
    *,
    seed: int,
    resumed: Mapping[str, Any] | None,
    is_endless: bool,
) -> dict[str, Any]:
    """Return the config of a data loader whose samples have random numbers of their own, from a position on.

    Args:
        loader: a config for which :func:`is_resumable` holds; it is not changed.
        seed: of the run.
        resumed: the checkpoint that is resumed.
        is_endless: whether the loader is that of a training that counts iterations. Else each pass over it ends,
            and whoever iterates it says where it begins.
    """
    start = 0
    if resumed is not None and is_endless:
        # A checkpoint of mmengine tells the iteration only, and one that cannot be resumed is refused later.
        iteration = (resumed.get('meta') or {}).get('iter', 0)
        seen = iteration * loader.get('batch_size', 1) * get_world_size()
        start = (resumed.get('sampler') or {}).get('position', seen)
    sampler = {'seed': seed, **loader['sampler'], 'start': start, 'by_epoch': not is_endless}
    dataset = {
        'type': 'SeededDataset',
        'dataset': loader['dataset'],
        'missing_files': sampler.get('missing_files', 'stop'),
    }
    return {**loader, 'sampler': sampler, 'dataset': dataset}


def resumable(checkpoint: Mapping[str, Any], filename: str) -> dict[str, Any]:
    """Return a checkpoint as mmengine may read it to go on from it.

    At ``config`` of its ``meta``, where mmcv 1 wrote, mmengine would execute the text to look up a number of GPUs.

    Raises:
        CheckpointError: it has nothing to go on from, or does not tell the iteration.
    """
    lacking = [key for key in ('optimizer', 'message_hub', 'meta') if key not in checkpoint]
    if lacking:
        raise CheckpointError(
            f'{filename} has no {" and no ".join(lacking)}, so training cannot go on from it; resume '
            f'from an iter_*.pth file, or start a new run from its weights with load_from={filename!r}'
        )
    meta = checkpoint['meta']
    counts = [meta.get(key) for key in ('epoch', 'iter')] if isinstance(meta, Mapping) else [None]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise CheckpointError(
            f'{filename} does not tell its epoch and iteration as whole numbers, so training cannot go on '
            f'from it; start a new run from its weights with load_from={filename!r}'
        )
    return {**checkpoint, 'meta': {key: value for key, value in meta.items() if key != 'config'}}


def with_own_kernels(
    optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> dict[str, Any] | None:
    """Leave the choice of kernels to the optimizer that a state is loaded into.

    A state dict says ``fused`` and ``foreach`` too, and PyTorch would take both over. But a loss scaler has asked
    the optimizer when it was built whether its step divides by the scale itself, which only the fused one does.
    """
    pairs = zip(state['param_groups'], optimizer.param_groups, strict=False)
    groups = [
        {**saved, **{key: own[key] for key in ('fused', 'foreach') if key in own}}
        for saved, own in pairs
    ]
    # Of another number of groups PyTorch itself tells.
    return {**state, 'param_groups': groups} if len(groups) == len(state['param_groups']) else None


def restore_generators(states: Sequence[Mapping[str, Any]] | None) -> None:
    """Put the random generators of this process where a checkpoint has them, or say that it cannot be.

    Args:
        states: those of each process, from :func:`swinseg.engine.checkpoint.randomness.generator_states`; None
            when the checkpoint has none.
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
        loop, sampler = runner.train_loop, runner.train_dataloader.sampler
        is_exact = isinstance(loop, (ExactTrainLoop, ExactEpochTrainLoop))
        if is_exact and isinstance(sampler, ResumableSampler):
            position = loop.samples_seen(checkpoint['meta'])
            checkpoint['sampler'] = {'position': position, 'size': sampler.size}

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Leave a validation when a signal came and nothing would be lost: it is made up for after a resume."""
        if not runner.is_training_run or get_world_size() > 1 or not runner.stop.signum:
            return
        if runner.saved_at == runner.iter:
            raise Interrupted(
                f'{signal.Signals(runner.stop.signum).name}: stopped in the validation at '
                f'{position_of(runner)}, which is saved; go on with --work-dir {runner.work_dir} --resume',
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
