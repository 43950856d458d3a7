"""Training steps whose networks are compiled by ``torch.compile``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from swinseg.engine.distributed.fsdp import FSDPModel
from swinseg.errors import ConfigError
from swinseg.models.compiled import compile_options, parts_of


class CompiledTrainingHook(Hook):
    """Compile backbone, neck and heads for the training, and leave validations to the eager code.

    mmengine compiles the whole ``train_step``, with the losses, the copies and the logs in it, and so in many
    graphs. Each part here is one graph; the loss stays as it is, which needs less memory in blocks. Images of
    a validation have many sizes, of which each would be compiled anew.

    Args:
        options: of ``torch.compile``.
    """

    priority = 'LOWEST'

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def before_train(self, runner: Any) -> None:
        """Mark the parts; each is compiled when it is first called."""
        for part in parts_of(runner.bare_model):
            part.compile(**self._options)
        runner.logger.info('compiled steps: the first one takes a minute or more')

    def before_val_epoch(self, runner: Any) -> None:
        """Go on in eager mode."""
        torch.compiler.set_stance('force_eager')

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Go back to the compiled code."""
        torch.compiler.set_stance('default')

    @staticmethod
    def own_stance() -> contextlib.AbstractContextManager[Any]:
        """Return what a training runs in, so that after it, and after an error, other code compiles as before."""
        stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance('default')
        return stance


def compiled_training_hook(setting: Any, model: nn.Module) -> CompiledTrainingHook | None:
    """Return the hook that the config's ``compile`` asks for, or None.

    Args:
        setting: True, False, None, or a dict of what ``torch.compile`` takes.
        model: of the training, with its wrappers.

    Raises:
        ConfigError: another setting, an option that ``torch.compile`` does not have, a model in shares, or no C++
            compiler for a processor.
    """
    if setting and isinstance(model, FSDPModel):
        raise ConfigError(
            'compile does not go with MMFullyShardedDataParallel, whose parts gather their weights between the '
            'steps of a graph; leave one of them out'
        )
    options = compile_options(setting, model)
    return None if options is None else CompiledTrainingHook(options)
