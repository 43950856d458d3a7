"""Images of four bands that a model, or a config, has to be told about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import rasterio
from PIL import Image

from broken_inputs.place import CommandLine, Place
from support import tiny_checkpoint

NAMES = ('red', 'green', 'blue', 'nir')
RANGE = 'value_range=[0, 4000]'
PIXELS = np.kron(
    np.random.default_rng(3).integers(1, 4000, (4, 8, 8)), np.ones((1, 8, 8), int)
).astype(np.uint16)

CONFIG = """
data = dict(
    _delete_=True, type='FolderDataset', data_root={root!r},
    data_prefix=dict(img_path='images', seg_map_path='labels'), classes=['ground', 'thing'],
    pipeline=[dict(type='LoadImage', bands={bands!r}, {load}), dict(type='LoadLabel'), dict(type='PackPlanes')],
)
train_dataloader = dict(dataset=data)
val_dataloader = val_cfg = val_evaluator = None
model = dict(
    backbone=dict(in_channels=4), decode_head=dict(num_classes=2), auxiliary_head=dict(num_classes=2),
    data_preprocessor=dict(mean={statistics}, std={statistics}, size=None),
)
"""


def _scene(place: Place, name: str, pixels: np.ndarray, names: Sequence[str] = ()) -> None:
    count, height, width = pixels.shape
    path = place.file(name)
    with rasterio.open(
        path, 'w', driver='GTiff', count=count, height=height, width=width, dtype=pixels.dtype,
        nodata=0,
    ) as file:  # fmt: skip
        file.write(pixels)
        if names:
            file.descriptions = names


def _segment(
    pixels: np.ndarray, names: Sequence[str] = (), load: str = RANGE
) -> Callable[[Place], CommandLine]:
    """Show a checkpoint of four bands a scene."""

    def make(place: Place) -> CommandLine:
        cfg = tiny_checkpoint.config(
            place.folder, mode='slide', crop_size=(64, 64), stride=(48, 40)
        )
        cfg.model.backbone.in_channels = 4
        cfg.model.data_preprocessor.update(mean=[110.0] * 4, std=[60.0] * 4)
        image = {'type': 'LoadImage', 'bands': list(NAMES), **eval(f'dict({load})')}
        steps = [image, dict(type='LoadLabel'), dict(type='PackSegInputs')]
        cfg.test_dataloader.dataset.pipeline = steps
        checkpoint = tiny_checkpoint.save(place.folder / 'four.pth', cfg)
        _scene(place, 'scene.tif', pixels, names)
        return place.segment(place.folder / 'scene.tif', checkpoint=checkpoint)

    return make


def _train(
    pixels: np.ndarray = PIXELS, *, names: Sequence[str] = NAMES, bands: Sequence[str] = NAMES,
    load: str = RANGE, statistics: str = '[100.0] * 4',
) -> Callable[[Place], CommandLine]:  # fmt: skip
    """Train on three images."""

    def make(place: Place) -> CommandLine:
        label = np.repeat(np.array([0, 1], np.uint8), 32)[:, None].repeat(64, axis=1)
        for number in range(3):
            _scene(place, f'pairs/images/{number}.tif', pixels, names)
            Image.fromarray(label).save(place.file(f'pairs/labels/{number}.png'))
        extra = CONFIG.format(
            root=str(place.folder / 'pairs'),
            bands=bands if isinstance(bands, str) else list(bands),
            load=load,
            statistics=statistics,
        )
        return place.train(extra=extra)

    return make


KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'three bands for a model of four': (
        _segment(PIXELS[:3]), r'has 3 bands without names, but the model is shown 4: red, green, blue, nir'),
    'a scene of another band': (
        _segment(PIXELS, ('red', 'green', 'blue', 'swir')), r'has no band named nir, .* names its bands red'),
    'two bands of one name': (
        _segment(PIXELS, ('red', 'green', 'nir', 'nir')), r'scene\.tif has no band named blue'),
    'a scene without data': (
        _segment(PIXELS * np.uint16(0), NAMES), r'scene\.tif has no data in any of its 64 x 64 pixels'),
    'a scene whose range nobody said': (
        _segment(PIXELS, NAMES, load=''), r'scene\.tif holds 16-bit values, and nothing says which'),
    'a range that nobody measured': (
        _train(load=''), r'3 images have more than 8 bits .* nothing says which of their values'),
    'training images of another band': (
        _train(bands=('red', 'green', 'blue', 'swir')), r'has no band named swir'),
    'training images of three bands': (
        _train(PIXELS[:3], names=()), r'has 3 bands without names'),
    'statistics of three bands for four': (
        _train(statistics='[100.0] * 3'),
        r'images have 4 channels but data_preprocessor has 3 means; give it mean=\['),
    'training images without data': (
        _train(PIXELS * np.uint16(0)), r'3 of 3 images have no data in any pixel'),
    'bands that are one name': (
        _train(bands='nir', load=RANGE), r'bands must be a list'),
}  # fmt: skip
"""As in ``data.KINDS``."""
