"""Building the dataset that a config describes, with messages that stand alone."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from swinseg.engine.config_keys import check_num_classes
from swinseg.engine.pipeline_checks import check_dataset_settings
from swinseg.engine.refusals import refused_arguments
from swinseg.errors import UserError

_BUILDER_PREFIX = re.compile(r'^(class `\w+` in [\w./]+: )+')


def build_dataset(cfg: Config, loader: str, **overrides: Any) -> Any:
    """Build the dataset of ``cfg[loader]`` and compare its classes with the model's.

    Args:
        cfg: as :func:`swinseg.engine.config.load_config` returns it.
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
