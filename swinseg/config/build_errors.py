"""Errors that mmengine, mmseg and PyTorch raise while a config is built, as one sentence that names its place.

They notice a wrong value when they build what the config describes, and raise from deep inside. The
frames of the traceback tell whether something was being built, and from which dict of the config.
"""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.registry import build_functions
from mmengine.runner import runner as mmengine_runner

from swinseg.config.standard_hooks import tolerant_hook
from swinseg.errors import ConfigError, UserError
from swinseg.type_names import type_name

# What the methods of mmengine's Runner build: keys of the config, from the outermost method to the inner.
_LOOPS = {'build_train_loop': 'train', 'build_val_loop': 'val', 'build_test_loop': 'test'}
_PART_OF_LOOP = {'build_dataloader': 'dataloader', 'build_evaluator': 'evaluator'}
_KEYS = {
    'build_model': 'model',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'build_visualizer': 'visualizer',
    'build_log_processor': 'log_processor',
    'register_default_hooks': 'default_hooks',
    'register_training_hooks': 'training_hooks',
    'register_custom_hooks': 'custom_hooks',
    'scale_lr': 'auto_scale_lr',
    'set_randomness': 'randomness',
    'setup_env': 'env_cfg',
    'build_logger': 'log_level',
}
_RUNNERS = (mmengine_runner.__name__, 'swinseg.engine.runner')
_REFUSALS = (AssertionError, AttributeError, ImportError, KeyError, TypeError, ValueError)
# How classes say that a package is missing where they raise no ImportError.
_NOT_INSTALLED = 'is not installed'
_PACKAGE_FIX = '; install the package, or take a class that does without'
_LOADER_FIX = ", such as LoadImage(color_type='unchanged'), which reads all bands of a TIFF"

KeyPath = tuple[str, ...]


@contextlib.contextmanager
def refused_arguments(cfg: Config, *place: str) -> Iterator[None]:
    """Turn what a class of another package has against its arguments into an error of the config.

    An exception passes unchanged when nothing was being built, so that it comes from the training
    itself, or when it arose in a line of swinseg, which says itself what a user did wrong.

    Args:
        cfg: what is built from.
        place: keys of the part of it that is built; without, mmengine's Runner tells.

    Raises:
        ConfigError: in the block a class was built and refused what the config says.
    """
    try:
        yield
    except (*_REFUSALS, RuntimeError) as error:
        if not isinstance(error, _REFUSALS) and not _is_missing_package(error):
            raise
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        key = place or _key_of(frames)
        is_ours = _module(frames[-1]).split('.')[0] == 'swinseg'
        is_building = bool(key) or _built_from(frames) is not None
        if isinstance(error, UserError) or is_ours or not is_building:
            raise
        where = '.'.join(_place_of(frames, cfg, key))
        file = cfg.filename or 'the config'
        what = f'{where} of {file}' if where else f'what {file} gives it'
        fix = ''
        if _is_missing_package(error):
            fix = _PACKAGE_FIX + (_LOADER_FIX if '.pipeline' in where else '')
        raise ConfigError(f'{_owner(frames[-1])} refuses {what}: {_reason(error)}{fix}') from error


def _is_missing_package(error: Exception) -> bool:
    return isinstance(error, ImportError) or _NOT_INSTALLED in str(error)


def _module(frame: FrameType) -> str:
    return frame.f_globals.get('__name__', '')


def _key_of(frames: Sequence[FrameType]) -> KeyPath:
    """Return the top-level key that mmengine's Runner was at; () when it built nothing."""
    names = [frame.f_code.co_name for frame in frames if _module(frame) in _RUNNERS]
    for name in reversed(names):
        if name in _KEYS:
            return (_KEYS[name],)
    loop = next((_LOOPS[name] for name in names if name in _LOOPS), None)
    if loop is None:
        return ()
    part = next((_PART_OF_LOOP[name] for name in names if name in _PART_OF_LOOP), 'cfg')
    return (f'{loop}_{part}',)


def _built_from(frames: Sequence[FrameType]) -> Mapping[str, Any] | None:
    """Return the innermost dict that was being built into an object."""
    for frame in reversed(frames):
        if _module(frame) == build_functions.__name__ and frame.f_code.co_name == 'build_from_cfg':
            return frame.f_locals['cfg']
    return None


def _place_of(frames: Sequence[FrameType], cfg: Config, key: KeyPath) -> KeyPath:
    """Return where the config says what was built, as exactly as can be told.

    mmengine builds from a copy, which it may have changed, so the most similar dict is looked for.
    """
    node: Any = cfg.to_dict()
    for part in key:
        node = node.get(part) if isinstance(node, dict) else None
    known = [((*key, *path), dict_) for path, dict_ in _typed_dicts(node)]
    built = _built_from(frames)
    # What a hook builds of its own is not in the config, but the hook is.
    working = [{'type': _owner(frame)} for frame in reversed(frames) if 'self' in frame.f_locals]
    for wanted in (*([] if built is None else [built]), *working):
        likenesses = [(_likeness(wanted, dict_), place) for place, dict_ in known]
        best = max((likeness for likeness, _ in likenesses), default=0)
        if best:
            alike = [place for likeness, place in likenesses if likeness == best]
            shared = itertools.takewhile(
                lambda parts: len(set(parts)) == 1, zip(*alike, strict=False)
            )
            return tuple(parts[0] for parts in shared)
    return key


def _likeness(built: Mapping[str, Any], node: Mapping[str, Any]) -> int:
    """Count the entries of a config's dict that were built from; 0 when the type is another."""
    if type_name(node['type']) != type_name(built.get('type')):
        return 0
    plain = (str, int, float, list, tuple, dict, type(None))
    return sum(
        isinstance(built.get(name), plain) and built.get(name) == value
        for name, value in node.items()
    )


def _typed_dicts(node: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(node, dict) and 'type' in node:
        yield path, tolerant_hook(node)  # what was built in its place
    entries = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list | tuple)
        else ()
    )
    for name, value in entries:
        yield from _typed_dicts(value, (*path, str(name)))


def _owner(frame: FrameType) -> str:
    if 'self' in frame.f_locals:
        return type(frame.f_locals['self']).__name__
    return _module(frame).split('.')[0]


def _reason(error: BaseException) -> str:
    # A KeyError's text is the key in quotation marks; an assertion without a message is itself shown.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = text or traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__
    reason = ' '.join(text.split()).split('. ')[0].rstrip('.')
    if any(word in reason for word in ('tuple', 'list', 'isinstance')):
        reason += " (on the command line, 'k=(1,2)' is a tuple and 'k=1,2' a list)"
    return reason
