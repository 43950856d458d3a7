"""mmengine's ``Runner`` with whole checkpoints, checked weights and a quiet terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import RUNNERS
from torch import nn
from torch.utils.data import DataLoader

from swinseg.config.standard_hooks import stock_hooks, tolerant_hook, training_hooks
from swinseg.config.training_length import counts_epochs, with_end
from swinseg.datasets.building import check_dataset_settings
from swinseg.engine.checkpoint.resume_state import (
    MissingFilesHook,
    ResumeStateHook,
    is_resumable,
    seeded_loader,
    with_own_kernels,
)
from swinseg.engine.checkpoint.runner import CheckpointingRunner
from swinseg.engine.checks.batch_norm import check_batches
from swinseg.engine.checks.before_training import BeforeTrainingHook
from swinseg.engine.distributed.data_parallel import CommonBuffersHook, wrap
from swinseg.engine.distributed.fsdp import (
    FSDPModel,
    GatherForValidationHook,
    ShardAfterValidationHook,
)
from swinseg.engine.hooks.chosen_thresholds import ChosenThresholdsHook
from swinseg.engine.hooks.compiled_training import compiled_training_hook
from swinseg.engine.hooks.runs import is_training_run
from swinseg.engine.hooks.throughput import ThroughputHook
from swinseg.engine.loop.data_workers import (
    DEFAULT_TIMEOUT,
    TimeoutLoader,
    checked_timeout,
    with_timeout,
)
from swinseg.engine.loop.pinned_memory import pin_samples, with_pinning
from swinseg.engine.loop.train_loop import ExactEpochTrainLoop, ExactTrainLoop
from swinseg.engine.optim.learning_rates import check_rates, describe_schedule, rates_to_come
from swinseg.engine.optim.on_gpu import choose_tf32, with_fused_step
from swinseg.engine.optim.parts import averages_of, optimizers_of
from swinseg.engine.visualizers import with_local_backend
from swinseg.files import explain_full_disk
from swinseg.signals import StopRequest, quiet_children, stop_signals
from swinseg.terminal import TerminalFormatter, is_heard
from swinseg.type_names import type_name


@RUNNERS.register_module()
class SwinsegRunner(CheckpointingRunner):
    """mmengine's ``Runner`` with whole checkpoints, checked weights and a quiet terminal.

    A checkpoint gets its name when it is complete. Weights of any known format are loaded, with a receipt, and
    fail when they do not fit. On the terminal stand warnings and what swinseg itself has to say; the log file
    in the work directory has everything.

    Attributes:
        stop: whether a signal has asked for the end.
    """

    stop: StopRequest
    _is_endless: bool = False

    @property
    def is_training_run(self) -> bool:
        """Whether this run trains, so that a validation is one of many."""
        return is_training_run(self)

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Set up the process as mmengine does, and choose its TF32 where ``env_cfg.tf32`` does."""
        choose_tf32(env_cfg)
        super().setup_env(env_cfg)

    def build_logger(
        self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any
    ) -> MMLogger:
        """Build mmengine's logger and keep the noise in its file."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_heard)
                handler.setFormatter(TerminalFormatter())
        return logger

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """Build the writer of scalars under a name of its own.

        With the usual ``name='visualizer'`` mmengine would hand the next run of this process the writer of the
        first, and its scalars would go into the first one's folder.

        Its figures go into ``scalars.json`` whatever its backends are: the curves are drawn from it.
        """
        if isinstance(visualizer, dict):
            visualizer = {**with_local_backend(visualizer), 'name': self.experiment_name}
        return super().build_visualizer(visualizer)

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """Register the hooks of the config, and those that every run has."""
        super().register_hooks(stock_hooks(default_hooks, train_cfg=self._train_loop))
        self.register_training_hooks(custom_hooks or ())
        self.register_custom_hooks(custom_hooks or ())

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        """Register a hook; of those that mmengine has for trainings alone the one that can also evaluate."""
        super().register_hook(tolerant_hook(hook), priority)

    def register_training_hooks(self, custom_hooks: Sequence[Any]) -> None:
        """Register what ``training_hooks`` of the config says and ``custom_hooks`` does not bring."""
        hooks = training_hooks(
            self.cfg.get('training_hooks'),
            custom=custom_hooks,
            published_miou=self.cfg.get('published_miou'),
        )
        for hook in hooks:
            self.register_hook(hook)

    def dump_config(self) -> None:
        """Write the config into the work directory, of a training only.

        An evaluation in the folder of a training would put its shortened config in the place of the whole one.
        """
        if self.is_training_run:
            super().dump_config()

    def set_randomness(
        self, seed: int | None = None, diff_rank_seed: bool = True, deterministic: bool = False
    ) -> None:
        """Seed Python, NumPy and PyTorch, each process with a number of its own.

        Otherwise all processes would crop, flip and drop alike. ``seed`` stays what they have in common: by it the
        samplers share the images out.
        """
        super().set_randomness(seed, diff_rank_seed, deterministic)
        if diff_rank_seed:
            self._seed -= self.rank

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Wrap the model where several processes train it; an evaluation needs no wrapper."""
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        model = model.to(get_device())
        return wrap(model, self.cfg) if self.is_training_run else revert_sync_batchnorm(model)

    def _init_model_weights(self) -> None:
        # A resumed run overwrites every weight: no need for the network that ImageNet weights come from.
        if not self._resume:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer and its wrapper, as mmengine does, with the config's kernels even after a resume."""
        wrapper = super().build_optim_wrapper(with_fused_step(optim_wrapper, self.model))
        for optimizer in optimizers_of(wrapper):
            optimizer.register_load_state_dict_pre_hook(with_own_kernels)
        return wrapper

    def train(self) -> nn.Module:
        """Train, or go on with a training.

        Raises:
            Interrupted: a signal came; what was trained is saved.
        """
        if self._resume:
            self.read_resumed()
        if self.distributed:
            self.register_hook(CommonBuffersHook())
        if isinstance(self.model, FSDPModel):
            self.register_hook(GatherForValidationHook())
            self.register_hook(ShardAfterValidationHook())
        sampler = (self._resumed or {}).get('sampler') or {}
        self.register_hook(ResumeStateHook(images=sampler.get('size')))
        self.register_hook(BeforeTrainingHook())
        self.register_hook(MissingFilesHook())
        self.register_hook(ThroughputHook())
        self.register_hook(ChosenThresholdsHook())
        compiled = compiled_training_hook(self.cfg.get('compile'), self.model)
        if compiled is not None:
            self.register_hook(compiled)
        own_stance = contextlib.nullcontext() if compiled is None else compiled.own_stance()
        with (
            stop_signals() as self.stop,
            explain_full_disk(self.work_dir),
            self._workers_ended(),
            own_stance,
        ):
            return super().train()

    def _maybe_compile(self, target: str) -> None:
        """Leave ``compile`` of the config to the hook."""

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop; for mmengine's by iterations and by epochs one that resumes exactly.

        Raises:
            ConfigError: a batch of its data loader cannot be trained on.
        """
        if not isinstance(loop, dict):
            return super().build_train_loop(loop)
        by_epoch = counts_epochs(loop)
        if type_name(loop.get('type') or '') in ('', 'IterBasedTrainLoop', 'EpochBasedTrainLoop'):
            loop = {**loop, 'type': ExactEpochTrainLoop if by_epoch else ExactTrainLoop}
            loop.pop('by_epoch', None)
        self._is_endless = not by_epoch
        try:
            built = super().build_train_loop(loop)
        finally:
            self._is_endless = False
        check_batches(built.dataloader, self.model)
        return built

    def _build_param_scheduler(self, scheduler: Any, optim_wrapper: Any) -> Any:
        """Build the schedulers of one optimizer; one without ``end`` ends with the training."""
        parts = scheduler if isinstance(scheduler, Sequence) else [scheduler]
        length = {'iterations': self.max_iters, 'epochs': self.max_epochs}
        return super()._build_param_scheduler(
            [with_end(part, **length) if isinstance(part, dict) else part for part in parts],
            optim_wrapper,
        )

    def build_dataloader(
        self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader, as mmengine does, whose sampler may start where a resumed run stopped.

        Its batches are waited for as long as its ``timeout`` says, by default
        :data:`~swinseg.engine.loop.data_workers.DEFAULT_TIMEOUT`, also where this process loads them itself. On a
        GPU they come in pinned memory, unless its ``pin_memory`` says otherwise.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        if is_resumable(dataloader):
            dataloader = seeded_loader(
                dataloader, seed=self.seed, resumed=self._resumed, is_endless=self._is_endless
            )
        else:
            dataset = {'type': 'SeededDataset', 'dataset': dataloader['dataset']}
            dataloader = {**dataloader, 'dataset': dataset}
        dataloader = with_pinning(dataloader, get_device())
        timeout = checked_timeout(dataloader.pop('timeout', DEFAULT_TIMEOUT))
        loader = super().build_dataloader(dataloader, seed, diff_rank_seed)
        check_dataset_settings(loader.dataset)
        pin_samples(loader)
        return with_timeout(loader, timeout=timeout, stop=lambda: getattr(self, 'stop', None))

    def test(self) -> dict[str, Any]:
        """Evaluate on the test set.

        Raises:
            Interrupted: a signal came.
        """
        with stop_signals(at_once=True) as self.stop, quiet_children(), self._workers_ended():
            return super().test()

    @contextlib.contextmanager
    def _workers_ended(self) -> Iterator[None]:
        """End the processes that load images when the block is left, with an error or without.

        Left to PyTorch or the garbage collector each would be waited for: five seconds, or for ever when it hangs.
        """
        try:
            yield
        finally:
            for loop in (self._train_loop, self._val_loop, self._test_loop):
                loader = getattr(loop, 'dataloader', None)
                if isinstance(loader, TimeoutLoader):
                    loader.end_workers()

    def load_or_resume(self) -> None:
        """Load the weights that the config names, or the state of an earlier run; then divide them if wanted.

        Raises:
            ConfigError: with a learning rate of 0 the training would change nothing.
        """
        super().load_or_resume()
        if not self.is_training_run:
            return
        rates = rates_to_come(self)
        check_rates(self, rates)
        if rates is not None:
            self.logger.info(describe_schedule(self, rates))
        if isinstance(self.model, FSDPModel):
            self.model.shard(optimizers_of(self.optim_wrapper), averages_of(self.hooks))
