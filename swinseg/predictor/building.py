"""What a checkpoint and a config say about a model: the pieces that make a predictor."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.models import EncoderDecoder
from mmseg.registry import DATASETS, MODELS

from swinseg.engine.config import check_config, load_config
from swinseg.predictor.errors import PredictorError


def choose_device(device: str | torch.device) -> torch.device:
    """Return a device that is there; ``'auto'`` is a CUDA device where there is one, else the CPU.

    Raises:
        PredictorError: there is no such device.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip('.')
        raise PredictorError(
            f"device '{device}' cannot be used: {reason}; use 'auto', 'cpu' or 'cuda'"
        ) from error
    return target


def choose_dtype(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    """Return a floating-point type that models run in on ``device``, from its name or itself.

    Raises:
        PredictorError: it is another one.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    known = [torch.float32, torch.bfloat16, *([torch.float16] if device.type != 'cpu' else [])]
    if found not in known:
        names = ', '.join(str(each).removeprefix('torch.') for each in known)
        raise PredictorError(f'dtype on {device.type} must be one of {names}, not {dtype}')
    return found


def choose_config(
    path: str | os.PathLike[str],
    given: str | os.PathLike[str] | Config | None,
    inside: Config | None,
) -> Config:
    """Return the config that was given, or else the one inside the checkpoint ``path``.

    Raises:
        ConfigError: it is wrong.
        PredictorError: there is none.
    """
    if isinstance(given, Config):
        return given
    if given is not None:
        return load_config(Path(given))
    if inside is None or 'model' not in inside:
        raise PredictorError(
            f'{os.fspath(path)} has no config inside; give the config file that the weights belong to'
        )
    # Only the model: the data of the training need not be here, nor its hooks.
    check_config(Config({'model': inside['model']}), name=f'the config inside {os.fspath(path)}')
    return inside


def build_model(cfg: Config) -> EncoderDecoder:
    """Build a config's model without the weights that its training began with.

    Raises:
        PredictorError: it has no ``data_preprocessor``.
    """
    settings = copy.deepcopy(cfg['model'])
    if not settings.get('data_preprocessor'):
        raise PredictorError(
            "the config's model has no data_preprocessor, so images would not be normalised; "
            'give a config of mmseg 1.x with model.data_preprocessor'
        )
    for part in (settings, settings.get('backbone', {})):
        part.pop('pretrained', None)
        part.pop('init_cfg', None)
    with DefaultScope.overwrite_default_scope('mmseg'), warnings.catch_warnings():
        # Advice about losses, which nothing here computes.
        warnings.filterwarnings('ignore', module=r'mmseg\.models\.(losses|builder)')
        return MODELS.build(settings)


def dataset_meta(
    path: str | os.PathLike[str], cfg: Config
) -> tuple[Sequence[str], Sequence[Sequence[int]] | None]:
    """Return class names and palette of a config's test dataset, whose files need not be there.

    Raises:
        PredictorError: they are not known; ``path`` is the checkpoint, which does not name them either.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    meta: Mapping[str, Any] = {}
    if dataset is not None:
        with DefaultScope.overwrite_default_scope('mmseg'):
            meta = DATASETS.build({**dataset.to_dict(), 'pipeline': [], 'lazy_init': True}).metainfo
    if not meta.get('classes'):
        raise PredictorError(
            f'neither {os.fspath(path)} nor its config names the classes; '
            'give a config whose test_dataloader has a dataset with classes'
        )
    return meta['classes'], meta.get('palette')
