"""Checks of a config: every key and every ``type`` compared with the class that will read it.

mmengine passes whatever a config says to constructors, and many of them swallow what they do not know
(``**kwargs``), so a misspelled key trains quietly with the default.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import LogProcessor, Runner
from torch import nn
from torch.utils.data import DataLoader

from swinseg.config.needed_packages import missing_package
from swinseg.config.registered_types import find_type, names_in, registries
from swinseg.config.standard_hooks import TRAINING_HOOKS
from swinseg.errors import ConfigError
from swinseg.type_names import has_type

# Names that mean something in a config beside the arguments of mmengine's Runner.
_CONVENTIONS = (
    *('custom_imports', 'tta_model', 'tta_pipeline', 'runner_type', 'compile', 'model_wrapper_cfg'),
    *('activation_checkpointing', 'efficient_conv_bn_eval', 'sync_bn', 'find_unused_parameters'),
)
# Variables that are customary in mmseg's configs, from which the files make what is read.
_VARIABLES = (
    *('crop_size', 'data_root', 'dataset_type', 'img_ratios', 'norm_cfg', 'test_pipeline'),
    *('train_pipeline', 'vis_backends'),
)
_RUNNER_ARGUMENTS = tuple(
    name for name in inspect.signature(Runner.__init__).parameters if name not in ('self', 'cfg')
)
# Names that swinseg's own training reads.
_RECIPE = (
    *('effective_batch', 'training_hooks', 'published_miou', 'resume_schedule', 'validation_loss'),
)
READ_TOP_LEVEL = frozenset((*_RUNNER_ARGUMENTS, *_CONVENTIONS, *_RECIPE))
KNOWN_TOP_LEVEL = READ_TOP_LEVEL | {*_VARIABLES}
# Top-level names whose dicts are built into objects; everything else is a variable of the config's author.
_BUILT = (
    *_RUNNER_ARGUMENTS,
    *('vis_backends', 'tta_model', 'tta_pipeline', 'training_hooks'),
)

# Which registry a dict belongs to, by the last part of its path that says so.
_REGISTRY_OF_PLACE = (
    (('init_cfg',), 'WEIGHT_INITIALIZERS'),
    (('pipeline', 'tta_pipeline', 'transforms'), 'TRANSFORMS'),
    (('dataset', 'datasets'), 'DATASETS'),
    (('sampler', 'batch_sampler'), 'DATA_SAMPLERS'),
    (('default_hooks', 'training_hooks', 'custom_hooks'), 'HOOKS'),
    (('optimizer',), 'OPTIMIZERS'),
    (('optim_wrapper',), 'OPTIM_WRAPPERS'),
    (('param_scheduler',), 'PARAM_SCHEDULERS'),
    (('vis_backends',), 'VISBACKENDS'),
    (('visualizer',), 'VISUALIZERS'),
    (('val_evaluator', 'test_evaluator'), 'METRICS'),
    (('log_processor',), 'LOG_PROCESSORS'),
    (('model', 'tta_model', 'data_preprocessor'), 'MODELS'),
    (('train_cfg', 'val_cfg', 'test_cfg'), 'LOOPS'),
)

# Keys that the code that builds an object takes out of its dict before the constructor sees it.
_TAKEN_OUT_FIRST = {
    'HOOKS': ('priority',),
    'OPTIM_WRAPPERS': ('constructor', 'paramwise_cfg'),
    'PARAM_SCHEDULERS': ('convert_to_iter_based',),
    'WEIGHT_INITIALIZERS': ('override', 'minimum', 'inflate'),  # Swin backbones read the last two
}
_DATALOADER_KEYS = frozenset(
    (*inspect.signature(DataLoader.__init__).parameters, 'num_batch_per_epoch')
) - {'self'}
_PARAMWISE_KEYS = frozenset(
    re.findall(r"paramwise_cfg\.get\(\s*'(\w+)'", inspect.getsource(DefaultOptimWrapperConstructor))
) | {'custom_keys'}
_CLIPPING_KEYS = frozenset((
    'type',
    *inspect.signature(nn.utils.clip_grad_norm_).parameters,
    *inspect.signature(nn.utils.clip_grad_value_).parameters,
)) - {'parameters'}  # fmt: skip


@dataclass(frozen=True)
class Accepted:
    """What a dict of the config may contain.

    Attributes:
        owner: who reads it, for the message.
        keys: the names it takes.
        is_open: whether it may take further names (its constructor ends in ``**kwargs`` that no parent
            class spells out); then only a near miss of a known name is an error.
    """

    owner: str
    keys: frozenset[str]
    is_open: bool = False


def check_config(cfg: Config, *, name: str = 'the config') -> None:
    """Compare every key and every ``type`` with the classes that will read them.

    Args:
        cfg: a loaded config; it is not changed.
        name: what to call it in a message.

    Raises:
        ConfigError: as in :func:`load_config`.
    """
    for key in cfg:
        near = near_miss(key, (*_RUNNER_ARGUMENTS, *_RECIPE), cutoff=0.85)
        if key not in KNOWN_TOP_LEVEL and near is not None and near not in key:
            raise ConfigError(
                f'{key} is not a name that a config is read for in {name}; write {near}'
            )
    content = cfg.to_dict()
    for top in _BUILT:
        if top in content:
            for place, node in _dicts((top,), content[top]):
                _check_dict(place, node, name)
    loaders = (content.get(f'{part}_dataloader') for part in ('train', 'val', 'test'))
    dataset = next(
        (loader['dataset'] for loader in loaders if loader and 'dataset' in loader), None
    )
    classes = dataset_classes(dataset) if isinstance(dataset, dict) else None
    if classes is not None and isinstance(content.get('model'), dict):
        check_num_classes(content['model'], classes, name=name)


def check_num_classes(model: Mapping[str, Any], classes: Sequence[str], *, name: str) -> None:
    """Compare the number of classes of the heads with the classes of the dataset.

    Args:
        model: the config's ``model``.
        classes: class names of the dataset.
        name: what to call the config in a message.

    Raises:
        ConfigError: they differ.
    """
    for head in ('decode_head', 'auxiliary_head'):
        # In a list of auxiliary heads one may predict something else, such as boundaries.
        settings = model.get(head)
        found = settings.get('num_classes') if isinstance(settings, dict) else None
        if found is not None and found != len(classes):
            raise ConfigError(
                f'model.{head}.num_classes={found} in {name}, but its dataset has {len(classes)} classes; '
                f'set it to {len(classes)}'
            )


def dataset_classes(dataset: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names a dataset's dict stands for, or None where only building it can tell."""
    inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
    if inner is not None:
        return dataset_classes(inner)
    meta = dataset.get('metainfo')
    classes = (meta.get('classes') if isinstance(meta, dict) else None) or dataset.get('classes')
    if classes is None:
        owner = find_type(dataset.get('type'), 'DATASETS')
        classes = getattr(owner, 'METAINFO', {}).get('classes')
    # What is no list the dataset itself refuses.
    return tuple(classes) if isinstance(classes, (list, tuple)) else None


def near_miss(key: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    matches = difflib.get_close_matches(str(key), list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def dotted(place: Sequence[str | int]) -> str:
    return '.'.join(str(part) for part in place)


def _dicts(place: tuple[str | int, ...], node: Any) -> Iterator[tuple[tuple[str | int, ...], dict]]:
    """Yield every dict under ``node`` with its place, outermost first."""
    if isinstance(node, dict):
        yield place, node
        if has_type(node, 'Albu'):
            return  # its transforms are albumentations' classes, which no registry knows
        for key, value in node.items():
            yield from _dicts((*place, key), value)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _dicts((*place, index), value)


def _registry_name(place: Sequence[str | int]) -> str | None:
    """Return the name of the registry in which a dict at ``place`` looks its ``type`` up."""
    names = {name: registry for group, registry in _REGISTRY_OF_PLACE for name in group}
    for depth, part in reversed(list(enumerate(place))):
        # test_cfg and train_cfg are loops at the top level and plain dicts inside a model.
        if part in ('train_cfg', 'val_cfg', 'test_cfg') and depth > 0:
            continue
        if part in names:
            return names[part]
    return None


@functools.cache
def _signature(owner: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """Return the keyword arguments ``owner`` takes, and whether it takes others too.

    ``**kwargs`` of a constructor are followed to the next constructor of the method resolution order.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if not inspect.isclass(owner):
        parameters = inspect.signature(owner).parameters.values()
        names = {parameter.name for parameter in parameters if parameter.kind in named}
        return frozenset(names), any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    collected: set[str] = set()
    takes_more = False
    for klass in owner.__mro__:
        if klass is nn.Module:
            takes_more = False  # it declares **kwargs only to reject them
            break
        if klass is object or '__init__' not in vars(klass):
            continue
        try:
            parameters = inspect.signature(vars(klass)['__init__']).parameters.values()
        except ValueError:  # a constructor written in C
            return frozenset(collected), True
        collected |= {p.name for p in parameters if p.kind in named and p.name != 'self'}
        takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        if not takes_more:
            break
    return frozenset(collected), takes_more


def _untyped(place: Sequence[str | int]) -> Accepted | None:
    """Return what a dict without ``type`` may contain, where that is known."""
    last, parent = place[-1], place[-2] if len(place) > 1 else None
    if len(place) == 1 and str(last).endswith('_dataloader'):
        return Accepted('a data loader', _DATALOADER_KEYS)
    if last in ('train_cfg', 'val_cfg', 'test_cfg') and len(place) == 1:
        loop = {'train_cfg': 'EpochBasedTrainLoop', 'val_cfg': 'ValLoop', 'test_cfg': 'TestLoop'}
        keys, _ = _signature(find_type(loop[str(last)], 'LOOPS'))
        iteration_keys, _ = _signature(find_type('IterBasedTrainLoop', 'LOOPS'))
        return Accepted(f'the loop {last}', keys | {'by_epoch'} | iteration_keys)
    if last == 'test_cfg':
        # Inference options grow with the segmentor, which reads them by name.
        return Accepted('the inference settings', frozenset(('mode', 'crop_size', 'stride')), True)
    if last == 'paramwise_cfg':
        return Accepted('paramwise_cfg', _PARAMWISE_KEYS, True)
    if last == 'clip_grad':
        return Accepted('clip_grad', _CLIPPING_KEYS)
    if parent == 'custom_keys':
        return Accepted('an entry of custom_keys', frozenset(('lr_mult', 'decay_mult')))
    if place == ('randomness',):
        return Accepted('randomness', _signature(Runner.set_randomness)[0] - {'self'})
    if place == ('auto_scale_lr',):
        return Accepted('auto_scale_lr', frozenset(('base_batch_size', 'enable')))
    if place == ('env_cfg',):
        settings = ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit', 'tf32')
        return Accepted('env_cfg', frozenset(settings))
    if place == ('log_processor',):
        return Accepted('LogProcessor', _signature(LogProcessor)[0])
    if place == ('training_hooks',):
        return Accepted('training_hooks', frozenset(TRAINING_HOOKS), True)
    if place == ('default_hooks',):
        hooks = 'runtime_info timer sampler_seed logger param_scheduler checkpoint visualization'
        return Accepted('default_hooks', frozenset(hooks.split()), True)
    if last == 'data_prefix':
        return Accepted('data_prefix', frozenset(('img_path', 'seg_map_path')), True)
    if last == 'metainfo':
        return Accepted('metainfo', frozenset(('classes', 'palette')), True)
    return None


def accepted(place: Sequence[str | int], node: Mapping[str, Any], name: str) -> Accepted | None:
    kind = node.get('type')
    if kind is None and place[0] == 'training_hooks' and len(place) == 2:
        kind = TRAINING_HOOKS.get(str(place[1]))
    if kind is None or place[-1] == 'clip_grad':  # clip_grad's type is 'norm' or 'value'
        return _untyped(place)
    registry_name = _registry_name(place)
    owner = find_type(kind, registry_name)
    if owner is None:
        known = set(names_in(registries().get(registry_name or 'MODELS')))
        near = near_miss(kind, known)
        hint = f'did you mean {near}?' if near else 'is the module that defines it imported?'
        raise ConfigError(f'{dotted(place)}.type={kind} in {name} is not registered; {hint}')
    lacks = missing_package(getattr(owner, '__name__', ''))
    if lacks is not None:
        raise ConfigError(f'{dotted(place)}.type={kind} in {name} {lacks}')
    keys, is_open = _signature(owner)
    extra = set(_TAKEN_OUT_FIRST.get(registry_name or '', ()))
    if 'norm' in str(place[-1]):
        extra.add('requires_grad')
    if 'resize_type' in keys:
        # mmcv's resizing transforms hand their **kwargs to the transform named by resize_type.
        resize = find_type(node.get('resize_type', 'Resize'), 'TRANSFORMS')
        keys, is_open = keys | _signature(resize)[0], False
    return Accepted(getattr(owner, '__name__', str(kind)), keys | extra, is_open)


def _check_dict(place: Sequence[str | int], node: Mapping[str, Any], name: str) -> None:
    allowed = accepted(place, node, name)
    if allowed is None:
        return
    for key in node:
        if key in ('type', '_scope_', '_delete_') or key in allowed.keys:
            continue
        # A constructor that takes anything: only what looks like a slip of the pen is one.
        near = near_miss(key, allowed.keys, cutoff=0.8 if allowed.is_open else 0.6)
        if allowed.is_open and (near is None or near in str(key)):
            continue
        where = dotted((*place, key))
        if near:
            raise ConfigError(
                f'{where} in {name} is not understood by {allowed.owner}; did you mean {near}?'
            )
        known = ', '.join(sorted(allowed.keys)) or 'no keys'
        raise ConfigError(
            f'{where} in {name} is not understood by {allowed.owner}, which takes {known}'
            + _hint_at_leftover(place, node)
        )


def _hint_at_leftover(place: Sequence[str | int], node: Mapping[str, Any]) -> str:
    """Say how another class is put in the place of one whose settings stay behind."""
    if not isinstance(node.get('type'), str) or not all(isinstance(part, str) for part in place):
        return ''
    options = ', lr=0.01, momentum=0.9, weight_decay=0.0005' if node['type'] == 'SGD' else ', ...'
    text = f"dict(_delete_=True, type='{node['type']}'{options})"
    for part in reversed(place[1:]):
        text = f'dict({part}={text})'
    return f'; if it is left over from a base config, write {place[0]} = {text}'
