"""Building of a predictor's pieces from a checkpoint and a config."""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.models import EncoderDecoder
from mmseg.models.backbones import SwinTransformer
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

from swinseg.checkpoints.loading import checkpoint_meta, load_weights, state_dict_of
from swinseg.checkpoints.meta import parse_config_text
from swinseg.config.loading import check_config, load_config
from swinseg.config.pipelines import pipeline_of
from swinseg.config.references import fill_in_variables
from swinseg.config.untrusted import prediction_config, trusted_config
from swinseg.errors import ExportedFileError, PredictorError, UserError
from swinseg.models.multi_label import take_thresholds
from swinseg.models.prepare import computes_bfloat16
from swinseg.predictor.size_bound import size_bound
from swinseg.runtimes.opening import open_exported
from swinseg.runtimes.protocol import check_steps
from swinseg.runtimes.segmentor import ExportedSegmentor

_STOCK_SWIN = ('SwinTransformer', 'mmseg.SwinTransformer', SwinTransformer)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A segmentor with its weights, and what is known beside them.

    Attributes:
        model: on the CPU, in the mode and the precision that it is built in.
        cfg: its config.
        classes: names.
        palette: RGB colors, or None where none are known.
    """

    model: EncoderDecoder
    cfg: Config
    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None


def load_model(
    checkpoint: Mapping[str, Any],
    path: str | os.PathLike[str],
    config: str | os.PathLike[str] | Config | None,
    *,
    trust: bool,
    dtype: torch.dtype = torch.float32,
) -> LoadedModel:
    """Build the model of a checkpoint and fill it with the weights.

    Args:
        checkpoint: as ``read_checkpoint`` returns it.
        path: where it is from, for messages.
        config: instead of the one inside, or None.
        trust: as for :func:`choose_config`.
        dtype: what the model is going to be prepared for, as for :func:`build_model`.

    Raises:
        CheckpointError: the weights do not fit the model.
        ConfigError: the config is wrong, or one inside the checkpoint is not to be trusted.
        PredictorError: config or class names are nowhere to be found, or the model cannot be built.
    """
    meta = checkpoint_meta(checkpoint)
    cfg = choose_config(path, config, meta['config'], trust=trust)
    is_trusted = trust or config is not None
    weights = None if is_trusted else state_dict_of(checkpoint)
    model = build_model(cfg, weights, dtype=dtype)
    load_weights(model, checkpoint, name=os.fspath(path), strict=True, logger=None)
    take_thresholds(model, meta['config'])
    classes, palette = meta['classes'], meta['palette']
    if classes is None:
        classes, palette = dataset_meta(path, cfg)
    return LoadedModel(model, cfg, classes, palette)


def load_exported(
    path: str | os.PathLike[str],
    config: str | os.PathLike[str] | Config | None,
    *,
    trust: bool,
    device: str,
    threads: int | None,
    providers: Sequence[str] | None,
    dtype: str,
) -> LoadedModel:
    """Open an exported file as a segmentor.

    Args:
        path: of the file.
        config: instead of the one inside, or None.
        trust: as for :func:`choose_config`.
        device: as for ``swinseg.runtimes.open_exported``, as are the others.

    Raises:
        ConfigError: the config is wrong, or one inside the file is not to be trusted.
        ExportedFileError: the file cannot be opened, or the config does not fit it.
        PredictorError: the config is nowhere to be found, or no segmentor can be built of it.
    """
    name = os.fspath(path)
    runtime = open_exported(path, device=device, threads=threads, providers=providers, dtype=dtype)
    metadata = runtime.metadata
    inside = None
    if config is None and metadata.config is not None:
        try:
            inside = parse_config_text(metadata.config)
        except ValueError as error:
            raise ExportedFileError(
                f'the config inside {name} cannot be read: {error}; export it again, or give the config with '
                '--config'
            ) from error
    cfg = choose_config(path, config, inside, trust=trust)
    check_steps(metadata, pipeline_of(cfg), name=name)
    with DefaultScope.overwrite_default_scope('mmseg'), build_errors_in_one_sentence('model'):
        model = ExportedSegmentor(runtime, cfg['model'])
    return LoadedModel(model, cfg, metadata.classes, metadata.palette)


def choose_device(device: str | torch.device) -> torch.device:
    """Return a device that is there; ``'gpu'`` is a CUDA device, ``'auto'`` one where there is one, else the CPU.

    Raises:
        PredictorError: there is no such device.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if device == 'gpu':
        device = 'cuda'
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
    if found == torch.bfloat16 and not computes_bfloat16(device.type):
        warnings.warn(
            f'this {device.type} has no instructions for bfloat16 and emulates it, slower than float32',
            stacklevel=2,
        )
    return found


def choose_config(
    path: str | os.PathLike[str],
    given: str | os.PathLike[str] | Config | None,
    inside: Mapping[str, Any] | None,
    *,
    trust: bool,
) -> Config:
    """Return the config that was given, or else what prediction reads of the one inside the checkpoint ``path``.

    Args:
        path: for the message.
        given: a config file or a config of the caller's own, which may name and import anything.
        inside: the literals of the checkpoint's config, which anyone may have written.
        trust: whether that one, too, may name and import anything.

    Raises:
        ConfigError: it is wrong, or not to be trusted.
        PredictorError: there is none.
    """
    if isinstance(given, Config):
        cfg = copy.deepcopy(given)
        fill_in_variables(cfg)
        return cfg
    if given is not None:
        return load_config(Path(given))
    if inside is None or 'model' not in inside:
        raise PredictorError(
            f'{os.fspath(path)} has no config inside; give the config file that the weights belong to'
        )
    name = f'the config inside {os.fspath(path)}'
    cfg = trusted_config(inside, name=name) if trust else prediction_config(inside, name=name)
    # Only the model: the data of the training need not be here, nor its hooks.
    check_config(Config({'model': cfg['model']}), name=name)
    return cfg


def build_model(
    cfg: Config,
    weights: Mapping[str, Tensor] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> EncoderDecoder:
    """Build a config's model without the weights that its training began with.

    Args:
        cfg: its ``model`` is built; it is not changed.
        weights: of the file that an untrusted config came with, which bound what is built; None builds anything.
        dtype: what it is going to be prepared for. mmseg's ``SwinTransformer``, which computes in float32 only, is
            built as ``SwinBackbone`` for another.

    Raises:
        PredictorError: it has no ``data_preprocessor``, cannot be built, or is larger than its weights.
    """
    settings = copy.deepcopy(cfg['model'])
    if not settings.get('data_preprocessor'):
        raise PredictorError(
            "the config's model has no data_preprocessor, so images would not be normalized; "
            'give a config of mmseg 1.x with model.data_preprocessor'
        )
    for part in (settings, settings.get('backbone', {})):
        part.pop('pretrained', None)
        part.pop('init_cfg', None)
    backbone = settings.get('backbone', {})
    if dtype != torch.float32 and backbone.get('type') in _STOCK_SWIN:
        backbone['type'] = 'SwinBackbone'
    bounds = contextlib.nullcontext() if weights is None else size_bound(weights)
    with (
        DefaultScope.overwrite_default_scope('mmseg'),
        warnings.catch_warnings(),
        build_errors_in_one_sentence('model'),
        bounds,
    ):
        # Advice about losses, which nothing here computes.
        warnings.filterwarnings('ignore', module=r'mmseg\.models\.(losses|builder)')
        model = MODELS.build(settings)
    if not isinstance(model, EncoderDecoder):
        raise PredictorError(
            f'expected a segmentor such as SwinSegmentor as model of the config, found {type(model).__name__}'
        )
    return model


def dataset_meta(
    path: str | os.PathLike[str], cfg: Config
) -> tuple[Sequence[str], Sequence[Sequence[int]] | None]:
    """Return class names and palette of a config's test dataset, whose files need not be there.

    Raises:
        PredictorError: they are not known; ``path`` is the checkpoint, which does not name them either.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    # What an untrusted config spells out; its dataset is never built.
    meta: Mapping[str, Any] = cfg.get('metainfo') or {}
    if dataset is not None:
        with DefaultScope.overwrite_default_scope('mmseg'):
            meta = DATASETS.build({**dataset.to_dict(), 'pipeline': [], 'lazy_init': True}).metainfo
    if not meta.get('classes'):
        raise PredictorError(
            f'neither {os.fspath(path)} nor its config names the classes; '
            'give a config whose test_dataloader has a dataset with classes'
        )
    return meta['classes'], meta.get('palette')


@contextlib.contextmanager
def build_errors_in_one_sentence(part: str) -> Iterator[None]:
    """Say in one sentence what a class has against the arguments that a config gives it in the block.

    Args:
        part: of the config that is built.

    Raises:
        PredictorError: it cannot be built.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Each class has errors of its own for arguments that make no sense.
        reason = ' '.join(str(error).split())[:300] or type(error).__name__
        raise PredictorError(
            f'the {part} of the config cannot be built: {reason}; '
            'use the one that the weights were trained with'
        ) from error
