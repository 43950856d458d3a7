"""mmengine's ``Runner`` with whole checkpoints: what is resumed, loaded and saved."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from swinseg.checkpoints import load_weights, read_checkpoint
from swinseg.engine.checkpoint.finding import read_newest
from swinseg.engine.checkpoint.randomness import generator_states, set_generator_states
from swinseg.engine.checkpoint.resume_state import restore_generators, resumable
from swinseg.engine.checkpoint.resumed_settings import compare_settings
from swinseg.engine.checkpoint.saving import AtomicCheckpointHook, with_resume_hint
from swinseg.engine.distributed.fsdp import FSDPModel
from swinseg.engine.loop.train_loop import ExactEpochTrainLoop, ExactTrainLoop, position_of
from swinseg.errors import ConfigError
from swinseg.files import atomic_path


class CheckpointingRunner(Runner):
    """mmengine's ``Runner`` with whole checkpoints and checked weights.

    A checkpoint gets its name when it is complete. Weights of any known format are loaded, with a receipt, and
    fail when they do not fit.

    Attributes:
        started_at: iteration at which this run began, that of the checkpoint when it was resumed.
        saved_at: iteration of the last whole checkpoint of this run, or None.
        generator_states: of the random generators of all processes, when a checkpoint is being written.
    """

    started_at: int = 0
    saved_at: int | None = None
    generator_states: list[dict[str, Any]]
    _resumed: dict[str, Any] | None = None
    _kept_generators: dict[str, Any] | None = None
    _resumed_generators: Sequence[Mapping[str, Any]] | None = None
    _load_from: str | None
    _randomness_cfg: dict[str, Any]

    def read_resumed(self) -> None:
        """Read the checkpoint that is to be resumed, and go on with its seed.

        Raises:
            CheckpointError: there is none, or it holds weights only.
        """
        if self._load_from:
            found = read_checkpoint(self._load_from)
        else:
            path, found = read_newest(self.work_dir)
            self._load_from = str(path)
        self._resumed = resumable(found, self._load_from)
        self._resumed_generators = self._resumed.get('generators')
        self._take_seed(self._resumed)

    def _take_seed(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with the random numbers of the earlier run.

        mmengine does so after the data loaders have been built with a new seed, and then skips the first images
        of an order that the earlier run never had.
        """
        seed = (checkpoint.get('meta') or {}).get('seed')
        wanted = self._randomness_cfg.get('seed')
        if seed is None:
            return
        if wanted is not None and wanted != seed:
            self.logger.warning(f'the seed is that of the resumed run, {seed}, not {wanted}')
        self._randomness_cfg = {**self._randomness_cfg, 'seed': seed}
        self.set_randomness(**self._randomness_cfg)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continue from a checkpoint of an earlier run.

        Values of optimizers and schedules that are not those of the config are named, and taken from where
        ``resume_schedule`` says.

        Raises:
            CheckpointError: the file cannot be read, does not fit, or holds weights only.
            ConfigError: the training of the config is shorter than what is trained already.
        """
        if self._resumed is None:
            self._resumed = resumable(read_checkpoint(filename), filename)
        with compare_settings(self, self._resumed, name=filename):
            super().resume(filename, *args, **kwargs)
            if isinstance(self.train_loop, (ExactTrainLoop, ExactEpochTrainLoop)):
                self.train_loop.seek(filename)
        self.started_at = self.iter
        self.logger.info(f'resumed from {filename} at {position_of(self)}')

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """Load a segmentor's weights and return what the file holds.

        Args:
            filename: path or http(s) address, any format that :func:`swinseg.checkpoints.load_weights` knows.
            map_location: where the returned tensors are put.
            strict: whether the decode head must be filled too. It always must be for resuming.
            revise_keys: must be empty; the format of the file is detected.

        Raises:
            CheckpointError: the file cannot be read or does not fit.
        """
        if revise_keys:
            raise ConfigError('revise_keys is not needed: the format of a checkpoint is detected')
        checkpoint = self._resumed or read_checkpoint(filename, map_location=map_location)
        self._resumed = None
        if self._resume:
            checkpoint = resumable(checkpoint, filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_weights(self.bare_model, checkpoint, strict=strict or self._resume, name=filename)
        self._has_loaded = True
        return checkpoint

    @property
    def bare_model(self) -> nn.Module:
        """The segmentor, without the wrappers for several processes and for test-time augmentation."""
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        return model

    def restore_generators(self) -> None:
        """Put the random generators where they were in the checkpoint that is resumed."""
        if self._resume:
            restore_generators(self._resumed_generators)

    @contextlib.contextmanager
    def generators_kept(self) -> Iterator[None]:
        """Leave the random generators as they are before the block, and save them so in its checkpoints."""
        self._kept_generators = generator_states()
        try:
            yield
        finally:
            set_generator_states(self._kept_generators)
            self._kept_generators = None

    def save_now(self) -> None:
        """Save between two iterations, where and as the config's checkpoint hook does."""
        by_epoch = isinstance(self.train_loop, ExactEpochTrainLoop)
        for hook in self.hooks:
            if isinstance(hook, AtomicCheckpointHook) and (by_epoch or not hook.by_epoch):
                hook.save_now(self)
                return
        meta = {'epoch': self.epoch, 'iter': self.iter}
        self.save_checkpoint(self.work_dir, f'iter_{self.iter}.pth', meta=meta, by_epoch=False)

    def save_checkpoint(
        self, out_dir: str, filename: str, *args: Any, save_optimizer: bool = True, **kwargs: Any
    ) -> None:
        """Write a checkpoint under a temporary name and rename it when it is complete.

        With several processes all of them must call this; the first one writes.

        Raises:
            OutputError: the file cannot be written; an older file of that name is still there.
        """
        if save_optimizer:
            self.generator_states = all_gather_object(self._kept_generators or generator_states())
        with self._full_state_dict(save_optimizer):
            if is_main_process():
                write = functools.partial(super().save_checkpoint, save_optimizer=save_optimizer)
                if (
                    '://' in out_dir
                ):  # a storage service, whose uploads appear when they are complete
                    write(out_dir, filename, *args, **kwargs)
                else:
                    with (
                        with_resume_hint(out_dir),
                        atomic_path(Path(out_dir) / filename) as temporary,
                    ):
                        write(out_dir, temporary.name, *args, **kwargs)
        if save_optimizer:
            self.saved_at = (kwargs.get('meta') or {}).get('iter')

    def _full_state_dict(self, save_optimizer: bool) -> contextlib.AbstractContextManager[None]:
        if not isinstance(self.model, FSDPModel):
            return contextlib.nullcontext()
        return self.model.full_state_dict(self.optim_wrapper if save_optimizer else None)
