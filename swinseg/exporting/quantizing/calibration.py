"""Images of a config's training set, prepared as for testing, on which the ranges of an int8 file are measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from numpy.typing import NDArray
from torch import Tensor

from swinseg.config.pipelines import pipeline_of
from swinseg.datasets.building import build_dataset, pipelines_of, plain_messages
from swinseg.errors import ExportError
from swinseg.exporting.graph import Graph
from swinseg.exporting.scale import without_resize
from swinseg.predictor.pipeline import Pipeline

CALIBRATION_IMAGES = 16


def calibration_files(cfg: Config, count: int) -> list[str]:
    """Return images of the training set, evenly spread over it: the same ones each time.

    Args:
        cfg: as :func:`swinseg.config.loading.load_config` returns it.
        count: how many; all where there are fewer.

    Raises:
        ExportError: the config has no training set, or one that does not tell the files of its images.
        UserError: the training set cannot be built.
    """
    if not (cfg.get('train_dataloader') or {}).get('dataset'):
        raise ExportError(
            f'int8 is calibrated on images of the training set, but {cfg.filename or "the config"} has no '
            'train_dataloader; give the config that the model was trained with as data'
        )
    with plain_messages():
        dataset = build_dataset(cfg, 'train_dataloader')
    parts = [part for part, _ in pipelines_of(dataset)]
    files = [_file_of(part, index) for part in parts for index in _spread(len(part), count)]
    return [files[index] for index in _spread(len(files), count)]


def _spread(length: int, count: int) -> list[int]:
    """Return up to ``count`` of ``range(length)`` with equal gaps."""
    return np.linspace(0, length - 1, min(length, count)).round().astype(int).tolist()


def _file_of(dataset: object, index: int) -> str:
    info: dict[str, str] = getattr(dataset, 'get_data_info', lambda _: {})(index)
    if 'img_path' not in info:
        raise ExportError(
            f'int8 is calibrated on images of the training set, but {type(dataset).__name__} does not name the '
            "file of an image; its get_data_info must return a dict with 'img_path'"
        )
    return str(info['img_path'])


def calibration_inputs(
    cfg: Config,
    model: EncoderDecoder,
    files: Sequence[str],
    graph: Graph,
    *,
    size: tuple[int, int] | None,
) -> list[NDArray]:
    """Return images as an exported graph takes them.

    Args:
        cfg: whose test pipeline prepares them.
        model: whose ``data_preprocessor`` normalizes them.
        files: of the images.
        graph: that takes them; what it does itself, resizing or normalizing, is left out.
        size: height and width that it is for, which images are cut to, or resized to where they are smaller.

    Returns:
        (1, C, H, W) float32, or (1, H, W, 3) uint8.
    """
    steps = pipeline_of(cfg if graph.scale is None else without_resize(cfg))
    pipeline = Pipeline(steps, None)
    inputs = []
    for file in files:
        packed = pipeline.pack(pipeline.load(file))
        pixels = packed['inputs']  # (C, H, W), BGR
        if size is not None:
            pixels = _of_size(pixels, size)
        if graph.input == 'image':
            inputs.append(pixels.flip(0).permute(1, 2, 0)[None].contiguous().numpy())
            continue
        data = {'inputs': [pixels], 'data_samples': [packed['data_samples']]}
        inputs.append(model.data_preprocessor(data, False)['inputs'].numpy())
    return inputs


def _of_size(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the middle out of (C, H, W) pixels, resized before where a side is too short."""
    shortage = max(side / length for side, length in zip(size, pixels.shape[1:], strict=True))
    if shortage > 1:
        larger = [
            max(side, round(length * shortage))
            for side, length in zip(size, pixels.shape[1:], strict=True)
        ]
        resized = F.interpolate(pixels[None].float(), size=larger, mode='bilinear', antialias=True)
        pixels = resized[0].round().to(pixels.dtype)
    top, left = ((length - side) // 2 for side, length in zip(size, pixels.shape[1:], strict=True))
    return pixels[:, top : top + size[0], left : left + size[1]]
