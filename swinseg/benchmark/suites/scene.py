"""A GeoTIFF of gigabytes from file to file: time, and memory at one height and at twice that height."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from numpy.typing import NDArray

from swinseg.benchmark.exactness import of_first_window
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import config_of, randomize
from swinseg.benchmark.peak_memory import WHOLE_PEAK_NOTE, whole_peak_bytes
from swinseg.benchmark.results import Row, Table
from swinseg.datasets.checked import MAX_CLASSES
from swinseg.errors import BenchmarkError
from swinseg.inference.tiling import window_starts
from swinseg.models.prepare import prepare_for_inference
from swinseg.predictor import Predictor
from swinseg.raster.geotiff import import_rasterio
from swinseg.segment.scenes.scene import segment_scene
from swinseg.segment.scenes.windows import WindowScores

SCENE = 'file to file'
PEAK, GROWTH, RATE = 'peak (MiB)', 'growth of the peak (%)', 'windows/s'

# Small enough that the windows' scores, not the model, are most of the work.
_SMALL = dict(
    backbone=dict(embed_dims=24, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
    decode_head=dict(in_channels=[24, 48, 96, 192], channels=32),
    auxiliary_head=dict(in_channels=96, channels=16),
)
_TILE = 512


@dataclass(frozen=True)
class SceneOptions(Options):
    """Options of the suite. Every scene is segmented once, whatever the repeats.

    Attributes:
        config: of the model; None takes a very small one.
        num_classes: K, whatever the config says.
        image_size: height and width of the scene in pixels; one of half the height is measured before it.
        window: side of a window in pixels.
        stride: distance of neighboring windows in pixels.
    """

    config: str | None = None
    num_classes: int = 150
    image_size: tuple[int, ...] = (20_000, 20_000)
    window: int = 512
    stride: int = 384

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        if len(self.image_size) != 2:
            raise BenchmarkError(
                f'--image-size takes height and width, found {len(self.image_size)} numbers'
            )
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise BenchmarkError(
                f'--num-classes must be from 2 to {MAX_CLASSES}, found {self.num_classes}'
            )
        if not 0 < self.stride <= self.window:
            raise BenchmarkError(
                f'--stride must be from 1 to the window, {self.window}, found {self.stride}'
            )


def run(options: SceneOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    predictor = _predictor(options)
    height, width = options.image_size
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder, 'scene.tif')
        # What the first call sets up, once for all, is no memory of a scene.
        draw_scene_file(scene, height=options.window, width=options.window)
        _segment(options, predictor, scene)
        for each in (height // 2, height):
            draw_scene_file(scene, height=each, width=width)
            rows.append(_measure(options, predictor, scene, (each, width), rows))
    name = 'small model' if options.config is None else Path(options.config).stem
    yield Table(
        f'{name}, {options.num_classes} classes, GeoTIFF of three bands, windows of {options.window} every '
        f'{options.stride}, blend gaussian',
        tuple(rows),
        notes=(
            WHOLE_PEAK_NOTE,
            'The labels open in rasterio with the transform, reference system and colors they must have. They '
            'are compared with those of one window alone, where no other reaches.',
        ),
    )


def _predictor(options: SceneOptions) -> Predictor:
    cfg = config_of('T', options.config)
    if options.config is None:
        cfg.merge_from_dict(dict(model=_SMALL))
    settings = cfg.model
    for head in ('decode_head', 'auxiliary_head'):
        settings[head].num_classes = options.num_classes
    settings.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(settings)
    randomize(model)
    return Predictor(
        prepare_for_inference(model.to(options.device).eval()),
        [dict(type='LoadImage'), dict(type='PackSegInputs')],
        classes=[f'class {index}' for index in range(options.num_classes)],
    )


def draw_scene_file(path: Path, *, height: int, width: int) -> None:
    """Write random bytes as an uncompressed tiled GeoTIFF, in little memory, the same ones for the same size."""
    rasterio = import_rasterio()
    generator = np.random.default_rng(5)
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=3, dtype='uint8', photometric='rgb',
        tiled=True, blockxsize=_TILE, blockysize=_TILE, crs='EPSG:32633',
        transform=rasterio.transform.from_origin(500_000, 5_000_000, 0.3, 0.3),
    ) as file:  # fmt: skip
        for top in range(0, height, _TILE):
            rows = min(_TILE, height - top)
            pixels = generator.integers(0, 256, (3, rows, width), dtype=np.uint8)
            file.write(pixels, window=((top, top + rows), (0, width)))


def _segment(options: SceneOptions, predictor: Predictor, scene: Path) -> Path:
    """Segment a scene and return the file of its labels."""
    result = segment_scene(
        predictor, scene, scene.parent,
        window=options.window, stride=options.stride, blend='gaussian',
    )  # fmt: skip
    return result.paths['labels']


def _measure(
    options: SceneOptions,
    predictor: Predictor,
    scene: Path,
    size: tuple[int, int],
    earlier: list[Row],
) -> Row:
    seconds: list[float] = []
    files: list[Path] = []

    def call() -> None:
        began = time.perf_counter()
        files.append(_segment(options, predictor, scene))
        seconds.append(time.perf_counter() - began)

    peak = whole_peak_bytes(call, device=options.device)
    windows = [len(window_starts(side, options.window, options.stride)) for side in size]
    figures = {RATE: windows[0] * windows[1] / seconds[0]}
    if peak is not None:
        figures[PEAK] = peak / 2**20
        if earlier:
            figures[GROWTH] = 100 * (figures[PEAK] / earlier[0].figures[PEAK] - 1)
    return Row(
        SCENE,
        tuple(seconds),
        _check_labels(options, predictor, scene, files[0]),
        figures,
        case=f'{size[0]} x {size[1]}',
    )


def _check_labels(
    options: SceneOptions, predictor: Predictor, scene: Path, labels: Path
) -> dict[str, float]:
    """Compare what the label file says of itself with what it must, and its first window with the model's.

    Raises:
        BenchmarkError: it says something else.
    """
    rasterio = import_rasterio()
    with rasterio.open(scene) as source, rasterio.open(labels) as result:
        colors = [result.colormap(1)[index][:3] for index in range(options.num_classes)]
        said = (result.shape, result.transform, result.crs, colors)
        expected = (source.shape, source.transform, source.crs, [*map(tuple, predictor.palette)])
        for found, wanted in zip(said, expected, strict=True):
            if found != wanted:
                raise BenchmarkError(f'the labels in {labels} must have {wanted}, but have {found}')
        window = tuple((0, min(options.window, side)) for side in source.shape)
        pixels: NDArray[Any] = source.read(window=window)
        beginning = torch.from_numpy(result.read(1, window=window))
        shape = source.shape
    with torch.inference_mode():
        scores = WindowScores(predictor.model)(torch.from_numpy(pixels)[None].float())
    return dict(of_first_window(scores[0], beginning, shape=shape, stride=options.stride))
