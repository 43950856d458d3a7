"""Building the dataset that a config describes, with messages that stand alone."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from swinseg.config.build_errors import refused_arguments
from swinseg.config.checking import check_num_classes
from swinseg.datasets.labels.faults import zero_label_sentence
from swinseg.datasets.transforms.of_bands import check_bands
from swinseg.errors import ConfigError, UserError, quoted

_BUILDER_PREFIX = re.compile(r'^(class `\w+` in [\w./]+: )+')


def build_dataset(cfg: Config, loader: str, **overrides: Any) -> Any:
    """Build the dataset of ``cfg[loader]`` and compare its classes with the model's.

    Args:
        cfg: as :func:`swinseg.config.loading.load_config` returns it.
        loader: such as ``'train_dataloader'``.
        **overrides: arguments of the dataset that replace the config's.

    Raises:
        UserError: the dataset cannot be built, its steps contradict it, or the model has other classes.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    with refused_arguments(cfg, loader, 'dataset'):
        dataset = DATASETS.build({**cfg[loader]['dataset'], **overrides})
    check_dataset_settings(dataset)
    model = cfg.model.get('module', cfg.model)
    check_num_classes(model, dataset.metainfo['classes'], name=cfg.filename or 'the config')
    return dataset


def require_classes(dataset: Any) -> None:
    """Check that a dataset names its classes, two at least.

    Raises:
        ConfigError: it does not, or names a single one; says where they would be written.
    """
    meta = getattr(dataset, 'metainfo', None) or {}
    classes = meta.get('classes')
    if classes and len(classes) == 1:
        raise ConfigError(
            f'{type(dataset).__name__} has one class, {quoted(classes[0])}, and nothing to tell it from; let all '
            f"other pixels be a class too, as in classes=['background', {quoted(classes[0])}] with a label_map"
        )
    if classes:
        return
    hint = (
        'mmseg 1.x reads METAINFO = dict(classes=..., palette=...), in small letters'
        if 'CLASSES' in meta or hasattr(dataset, 'CLASSES')
        else "write metainfo=dict(classes=('background', 'road')), in the order of the label values"
    )
    raise ConfigError(
        f'{type(dataset).__name__} names no classes, by which scores, figures and colors are told; {hint}'
    )


@contextlib.contextmanager
def plain_messages() -> Iterator[None]:
    """Take mmengine's "class `ADE20K` in swinseg/datasets/ade20k.py: " off the message of a user's error.

    Warnings of the mm packages about each other's old names are left out too.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', module=r'(mmseg|mmcv|mmengine)\.')
            yield
    except UserError as error:
        text = _BUILDER_PREFIX.sub('', str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def pipelines_of(dataset: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield the innermost datasets of a wrapped or joined one, each with all the steps that its samples take."""
    inside = vars(dataset)
    if 'datasets' in inside:
        for part in inside['datasets']:
            yield from pipelines_of(part)
    elif 'dataset' in inside:
        own = list(_steps(inside.get('pipeline')))
        for leaf, steps in pipelines_of(inside['dataset']):
            yield leaf, [*steps, *own]
    else:
        yield dataset, list(_steps(inside.get('pipeline')))


def check_dataset_settings(dataset: Any) -> None:
    """Check that a dataset names its classes, and that its steps read labels by its own rule.

    Args:
        dataset: a built one, or a wrapper of such.

    Raises:
        ConfigError: there are no class names, a step reduces the zero label where the dataset does not, or one is
            for colors where other bands are loaded.
    """
    for leaf, steps in pipelines_of(dataset):
        kind = type(leaf).__name__
        require_classes(leaf)
        rule = getattr(leaf, 'reduce_zero_label', None)
        check_bands(list(flat_steps(steps)))
        for step in flat_steps(steps):
            wanted = getattr(step, 'reduce_zero_label', None)
            if wanted is not None and rule is not None and bool(wanted) != bool(rule):
                raise ConfigError(
                    zero_label_sentence(type(step).__name__, wanted, kind, bool(rule))
                )


def _steps(pipeline: Any) -> Iterator[Any]:
    yield from getattr(pipeline, 'transforms', pipeline) or ()


def flat_steps(steps: Sequence[Any]) -> Iterator[Any]:
    """Yield steps and what is in them, as in ``RandomApply`` or ``TestTimeAug``."""
    for step in steps:
        yield step
        for name in ('transforms', 'subroutines'):
            inner = getattr(step, name, None)
            if inner is not None:
                yield from flat_steps(list(_steps(inner)))
