"""Training steps whose networks are compiled by ``torch.compile``."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from swinseg.engine.distributed.fsdp import FSDPModel
from swinseg.errors import ConfigError
from swinseg.versions import has_cpp_compiler


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
        # Crops are of one size.
        self._options = {'dynamic': False, **options}

    def before_train(self, runner: Any) -> None:
        """Mark the parts; each is compiled when it is first called."""
        for part in _parts_of(runner.bare_model):
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
    if setting is None or setting is False:
        return None
    if setting is not True and not isinstance(setting, Mapping):
        raise ConfigError(
            f'compile must be True, False or a dict of options of torch.compile, found {setting!r}'
        )
    options = {} if setting is True else dict(setting)
    known = set(inspect.signature(torch.compile).parameters) - {'model'}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(
            f'torch.compile has no option {unknown[0]}, which compile has; it takes {", ".join(sorted(known))}'
        )
    if isinstance(model, FSDPModel):
        raise ConfigError(
            'compile does not go with MMFullyShardedDataParallel, whose parts gather their weights between the '
            'steps of a graph; leave one of them out'
        )
    on_cpu = next(model.parameters()).device.type == 'cpu'
    if on_cpu and options.get('backend', 'inductor') == 'inductor' and not has_cpp_compiler():
        raise ConfigError(
            'torch.compile needs a C++ compiler for a processor, and finds none; install g++, name one in the '
            'environment variable CXX, or leave --compile out'
        )
    return CompiledTrainingHook(options)


def _parts_of(model: nn.Module) -> Iterator[nn.Module]:
    for name in ('backbone', 'neck', 'decode_head', 'auxiliary_head'):
        part = getattr(model, name, None)
        if isinstance(part, nn.ModuleList):  # several heads, of which each is called
            yield from part
        elif part is not None:
            yield part
