"""The ADE20K training pipeline from file to packed sample, on one thread."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from swinseg.benchmark.exactness import of_tensors
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import OURS, STOCK, config_of
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Candidate, compare
from swinseg.datasets.mini.scenes import draw_scene
from swinseg.errors import BenchmarkError
from swinseg.files import make_folder, write_bytes

RATE = 'images/s'
_STOCK_CONFIG = Path(mmseg.__file__).parent / '.mim/configs/_base_/datasets/ade20k.py'
_HEIGHT, _WIDTH = 512, 683  # the usual size in ADE20K
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class DataOptions(Options):
    """Options of the suite.

    Attributes:
        data_root: a folder in ADE20K's layout; None draws scenes of 683 x 512 pixels.
        images: how many images go through in each round.
    """

    data_root: str | None = None
    images: int = 16

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        if self.images < 1:
            raise BenchmarkError(f'--images must be at least 1, found {self.images}')
        if self.device != 'cpu':
            raise BenchmarkError('the suite data runs on the CPU; leave --device out')


def run(options: DataOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    with datasets(options) as (stock, ours):
        yield whole_table(options, stock, ours)
        for name, dataset in ((STOCK, stock), (OURS, ours)):
            yield _steps(options, name, dataset, min(options.images, len(stock)))


@contextlib.contextmanager
def datasets(options: DataOptions) -> Iterator[tuple[Any, Any]]:
    """Give mmseg's training set and swinseg's, of the same files; meanwhile OpenCV and PyTorch have one thread."""
    with contextlib.ExitStack() as stack:
        stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        root = options.data_root
        if root is None:
            root = stack.enter_context(tempfile.TemporaryDirectory())
            draw_images(root, options.images)
        yield _datasets(root)


def draw_images(root: str | os.PathLike[str], count: int) -> None:
    """Write drawn scenes as a training set in ADE20K's layout."""
    images = make_folder(Path(root) / 'images' / 'training')
    labels = make_folder(Path(root) / 'annotations' / 'training')
    for index in range(count):
        image, label = draw_scene(np.random.default_rng([3, index]), height=_HEIGHT, width=_WIDTH)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        jpeg = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
        write_bytes(images / f'{index:03d}.jpg', jpeg.tobytes())
        write_bytes(labels / f'{index:03d}.png', cv2.imencode('.png', label)[1].tobytes())


def _datasets(root: str | os.PathLike[str]) -> tuple[Any, Any]:
    with DefaultScope.overwrite_default_scope('mmseg'):
        # Ours first: it says what is wrong with a folder.
        ours, stock = (
            DATASETS.build({**config.train_dataloader.dataset, 'data_root': str(root)})
            for config in (config_of('T'), Config.fromfile(_STOCK_CONFIG))
        )
    assert len(stock) == len(ours)
    return stock, ours


def _seed(index: int) -> None:
    # Both pipelines draw the same numbers in the same order, so the same seed gives the same sample.
    random.seed(index)
    np.random.seed(index)  # noqa: NPY002


def _samples(dataset: Any, count: int) -> list[torch.Tensor]:
    """Return images and labels; each image is augmented in the same way in each round."""
    tensors = []
    for index in range(count):
        _seed(index)
        sample = dataset[index]
        tensors += [sample['inputs'], sample['data_samples'].gt_sem_seg.data]
    return tensors


def whole_table(options: DataOptions, stock: Any, ours: Any) -> Table:
    """Measure both from file to packed sample."""
    count = min(options.images, len(stock))
    what = 'drawn scenes' if options.data_root is None else 'photographs'

    def rate(median: float) -> Mapping[str, float]:
        return {RATE: count / median, 'ms per image': 1e3 * median / count}

    rows, _ = compare(
        [
            Candidate(STOCK, lambda: _samples(stock, count), figures=rate),
            Candidate(OURS, lambda: _samples(ours, count), figures=rate),
        ],
        _of_samples,
        rounds=options.rounds,
    )
    return Table(
        f'ADE20K training pipeline, one thread, {count} {what}',
        tuple(rows),
        baseline=STOCK,
        ours=OURS,
        notes=(
            'Same seeds: the same crops, flips and distortions of the same files, image by image.',
        ),
    )


def _of_samples(
    reference: Sequence[torch.Tensor], result: Sequence[torch.Tensor]
) -> Mapping[str, float]:
    return of_tensors(reference, result)


def _steps(options: DataOptions, name: str, dataset: Any, count: int) -> Table:
    """Time each transform of a pipeline; these are too short to be interleaved with another pipeline's."""
    transforms = dataset.pipeline.transforms
    rounds: list[list[float]] = [[] for _ in transforms]
    for _ in range(max(2, min(3, options.repeats))):
        spent = [0.0] * len(transforms)
        for index in range(count):
            _seed(index)
            results = dataset.get_data_info(index)
            for position, transform in enumerate(transforms):
                start = time.perf_counter()
                results = transform(results)
                spent[position] += time.perf_counter() - start
        for position, seconds in enumerate(spent):
            rounds[position].append(seconds / count)
    rows = tuple(
        Row(type(transform).__name__, tuple(seconds))
        for transform, seconds in zip(transforms, rounds, strict=True)
    )
    return Table(f'Steps of the pipeline, {name}, seconds per image', rows)
