"""The hooks that every run has, unless its config leaves one out by its name in ``training_hooks``.

They stand in no list that a config of one's own would replace. ``training_hooks`` names those whose arguments
change, those that are left out, and further ones, which need a ``type``::

    training_hooks = dict(sample_predictions=dict(count=8), curves=None)

mmengine's own such hooks are in ``default_hooks``, which it reads in the same way.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import HOOKS

from swinseg.config.training_length import counts_epochs
from swinseg.errors import ConfigError, shown
from swinseg.type_names import has_type

TRAINING_HOOKS = {
    'non_finite_guard': 'NonFiniteGuardHook',
    'first_batch': 'FirstBatchHook',
    'progress': 'ProgressHook',
    'curves': 'CurvesHook',
    'sample_predictions': 'SamplePredictionsHook',
}
"""The classes of swinseg's hooks by their names in ``training_hooks``."""


def training_hooks(
    given: Any, *, custom: Iterable[Any], published_miou: Any = None
) -> list[dict[str, Any]]:
    """Return the dicts of the hooks that a run has beside mmengine's.

    Args:
        given: the config's ``training_hooks``: arguments by name, None for a hook that is left out.
        custom: the config's ``custom_hooks``, dicts or hooks. One that is of the class of a standard hook, as
            in configs that list all of them, takes its place.
        published_miou: the config's, in percent: the end of the ``expected_curve`` where the config has no other.

    Raises:
        ConfigError: ``given`` is no dict of dicts, a hook of another name has no ``type``, or ``published_miou``
            is no figure.
    """
    if not isinstance(given, Mapping | None):
        raise ConfigError(
            'training_hooks must be a dict such as dict(sample_predictions=dict(count=8), curves=None), '
            f'not {shown(given)}'
        )
    own = [_class_of(hook) for hook in custom]
    standard: dict[str, Any] = {name: {} for name in TRAINING_HOOKS}
    if published_miou is not None:
        final = _percent(published_miou)
        if not any(issubclass(each, HOOKS.get('ExpectedCurveHook')) for each in own):
            standard['expected_curve'] = {'type': 'ExpectedCurveHook', 'final': final}
    hooks = []
    for name, arguments in {**standard, **(given or {})}.items():
        if arguments is None:
            continue
        kind = TRAINING_HOOKS.get(name)
        if not isinstance(arguments, Mapping) or (kind is None and 'type' not in arguments):
            raise ConfigError(
                f'training_hooks.{name} must be '
                + ('a dict of arguments, or None for no' if kind else 'a dict with the type of a')
                + f' hook, not {shown(arguments)}'
            )
        if kind is None or not any(issubclass(each, HOOKS.get(kind)) for each in own):
            hooks.append({'type': kind, **arguments} if kind else dict(arguments))
    return hooks


def _percent(published_miou: Any) -> float:
    is_number = isinstance(published_miou, (int, float)) and not isinstance(published_miou, bool)
    if not is_number or not 0 < published_miou <= 100:
        raise ConfigError(
            'published_miou must be an mIoU in percent, such as 44.51, or None where none is published, '
            f'not {shown(published_miou)}'
        )
    return published_miou


def tolerant_hook(hook: Any) -> Any:
    """Return the dict of swinseg's hook in the place of one of mmengine's that fails in an evaluation."""
    if has_type(hook, 'EMAHook'):
        return {**hook, 'type': 'ResumableEMAHook'}
    if has_type(hook, 'EarlyStoppingHook'):
        return {'rule': None, **hook, 'type': 'ResumableEarlyStoppingHook'}
    return hook


def stock_hooks(given: Any, *, train_cfg: Any) -> Any:
    """Return ``default_hooks`` whose log and checkpoints count what the training counts.

    Where a config does not say, mmengine counts epochs in a training by iterations too: it writes validations
    down as of step 0, and one checkpoint, at the end.

    Args:
        given: the config's ``default_hooks``.
        train_cfg: the config's.
    """
    if not isinstance(given, Mapping | None) or _counts_epochs(train_cfg):
        return given
    hooks = dict(given or {})
    for name, missing in (
        ('logger', {'type': 'LoggerHook', 'log_metric_by_epoch': False}),
        ('checkpoint', {'type': 'AtomicCheckpointHook', 'by_epoch': False}),
    ):
        arguments = hooks.get(
            name, {'interval': _validations(train_cfg)} if name == 'checkpoint' else {}
        )
        if isinstance(arguments, Mapping):
            hooks[name] = {**missing, **arguments}
    return hooks


def _counts_epochs(train_cfg: Any) -> bool:
    if isinstance(train_cfg, Mapping):
        return counts_epochs(train_cfg)
    return not isinstance(train_cfg, IterBasedTrainLoop)


def _validations(train_cfg: Any) -> int:
    interval = train_cfg.get('val_interval') if isinstance(train_cfg, Mapping) else None
    return interval or inspect.signature(IterBasedTrainLoop).parameters['val_interval'].default


def hooks_in(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dicts of hooks in a config, with their places, such as ``custom_hooks.0``."""
    for group in ('default_hooks', 'training_hooks', 'custom_hooks'):
        hooks = cfg.get(group) or {}
        for name, hook in hooks.items() if isinstance(hooks, Mapping) else enumerate(hooks):
            if isinstance(hook, Mapping):
                yield f'{group}.{name}', hook


def _class_of(hook: Any) -> type:
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    found = HOOKS.get(kind) if isinstance(kind, str) else kind
    # What is none mmengine refuses when it builds it.
    return found if isinstance(found, type) else Hook
