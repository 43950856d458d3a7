"""Result of a model of classes of which a pixel may have several."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg import files
from swinseg.datasets.labels.multi_label import bands_of_bits
from swinseg.errors import PredictorError
from swinseg.predictor.options import PredictOptions
from swinseg.predictor.segmentation import Segmentation
from swinseg.raster.geotiff import import_rasterio
from swinseg.visualization.overlaps import (
    class_masks,
    class_pixels,
    colorize_overlaps,
    overlay_overlaps,
)
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.polygons import Polygon, trace_polygons
from swinseg.visualization.resize import fit

MOST_CLASSES = 64
_MOST_OF_PNG = 16


def check_options(options: PredictOptions) -> None:
    """Refuse what asks for the one class of a pixel.

    Raises:
        PredictorError: ``confidence`` or ``reject_below``.
    """
    for name in ('confidence', 'reject_below'):
        if getattr(options, name) not in (None, False):
            raise PredictorError(
                f'{name} is about the one class of each pixel, but the model has multi_label=True; ask for '
                'probabilities, which it has of each class, or set its thresholds'
            )


def labels_suffix(classes: int) -> str:
    """Return the end of the name of a file of bit masks: a PNG has 16 bits at most."""
    return '_labels.png' if classes <= _MOST_OF_PNG else '_labels.tif'


def mask_suffixes(classes: Sequence[str]) -> list[str]:
    """Return the end of the name of the mask of each class: ``_mask-0-road.png``."""
    plain = (''.join(c if c.isalnum() or c == '-' else '-' for c in name) for name in classes)
    return [f'_mask-{index}-{name}.png' for index, name in enumerate(plain)]


@dataclass(frozen=True, eq=False)
class MultiLabelSegmentation(Segmentation):
    """The classes of the pixels of one image, of which each may have several or none.

    What :class:`~swinseg.predictor.segmentation.Segmentation` gives is here of each class by itself: areas and
    polygons overlap, and areas may add up to more than the picture.

    Attributes:
        labels: (H, W) bit masks, bit k is class k: uint8 up to 8 classes, then uint16, uint32 and, up to 64,
            uint64.
        thresholds: probability of each class from which on a pixel has it.
        probabilities: (K, H, W) float32 in [0, 1], of each class by itself; None when they were not asked for.
    """

    thresholds: tuple[float, ...] = ()

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(K, H, W): whether a pixel has a class."""
        return np.stack(list(class_masks(self.labels, len(self.classes))))

    def color(self) -> NDArray[np.uint8]:
        """Return the classes in the palette's colors, (H, W, 3) uint8 RGB: stripes where there are several."""
        return colorize_overlaps(self.labels, self.palette)

    def overlay(
        self, alpha: float = 0.5, legend: bool = True, *, borders: bool = True
    ) -> NDArray[np.uint8]:
        """Return the image with the colors blended in, uint8 RGB: stripes where a pixel has several classes.

        Args:
            alpha: weight of the colors in [0, 1].
            legend: put the classes present beside or below the image.
            borders: draw each class's rim in its full color.

        Raises:
            VisualizationError: alpha is outside [0, 1].
        """
        return overlay_overlaps(
            self.image,
            self.labels,
            self.palette,
            alpha=alpha,
            borders=borders,
            classes=self.classes if legend else None,
        )

    def areas(self, *, pixel_area: float | None = None) -> dict[str, float]:
        """Return the area of each class present, the largest first, with the pixels that it shares with others.

        Args:
            pixel_area: what a pixel covers; None for shares of the picture, in [0, 1].
        """
        pixels = class_pixels(self.labels, len(self.classes))
        unit = 1 / max(self.labels.size, 1) if pixel_area is None else pixel_area
        order = np.argsort(-pixels, kind='stable')
        return {self.classes[i]: float(pixels[i] * unit) for i in order if pixels[i]}

    def to_cvat(self, *, file_name: str | None = None) -> str:
        """Not there for classes that overlap.

        Raises:
            VisualizationError: always.
        """
        raise _no_form('cvat')

    def to_label_studio(self, *, address: str | None = None) -> list[dict[str, Any]]:
        """Not there for classes that overlap.

        Raises:
            VisualizationError: always.
        """
        raise _no_form('label-studio')

    def save_masks(
        self, folder: str | os.PathLike[str], stem: str | None = None
    ) -> dict[str, Path]:
        """Write a mask for each class, ``<stem>_mask-<index>-<class>.png``: 255 where a pixel has it, else 0.

        Args:
            folder: made where it does not exist.
            stem: beginning of the file names; None takes :attr:`name`.

        Returns:
            The path of each class.

        Raises:
            OutputError: the folder or a file cannot be written.
        """
        target = files.make_folder(folder)
        paths: dict[str, Path] = {}
        masks = class_masks(self.labels, len(self.classes))
        for name, ending, mask in zip(
            self.classes, mask_suffixes(self.classes), masks, strict=True
        ):
            paths[name] = target / f'{self.name if stem is None else stem}{ending}'
            with files.atomic_path(paths[name]) as temporary:
                Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(temporary, format='PNG')
        return paths

    def _suffix(self, kind: str) -> str:
        return labels_suffix(len(self.classes)) if kind == 'labels' else super()._suffix(kind)

    def _check_kind(self, kind: str) -> None:
        super()._check_kind(kind)
        if kind in ('cvat', 'label-studio'):
            raise _no_form(kind)
        if kind == 'labels' and len(self.classes) > _MOST_OF_PNG and import_rasterio() is None:
            raise VisualizationError(
                f'bit masks of {len(self.classes)} classes are written as TIFF, which needs rasterio: pip install '
                "'swinseg[raster]', or call save_masks"
            )

    def _save_labels(self, path: Path) -> None:
        with files.atomic_path(path) as temporary:
            if len(self.classes) <= _MOST_OF_PNG:
                Image.fromarray(self.labels).save(temporary, format='PNG')
            else:
                temporary.write_bytes(_tiff_of(bands_of_bits(self.labels, len(self.classes))))

    def _polygons(self, min_area: int, tolerance: float) -> list[Polygon]:
        found: list[Polygon] = []
        for index, mask in enumerate(class_masks(self.labels, len(self.classes))):
            traced = trace_polygons(
                mask.astype(np.uint8),
                confidence=None if self.probabilities is None else self.probabilities[index],
                min_area=min_area,
                tolerance=tolerance,
            )
            found += [dataclasses.replace(each, label=index) for each in traced if each.label]
        return found

    def _thumbnail(self, side: int) -> NDArray[np.uint8]:
        image, labels = fit(self.image, self.labels, side)
        return overlay_overlaps(
            image, labels.astype(self.labels.dtype), self.palette, classes=self.classes
        )


def _no_form(kind: str) -> VisualizationError:
    return VisualizationError(
        f'{kind} is written of models that give each pixel one class, but this one has multi_label=True; take '
        'coco, geojson or yolo, whose polygons may overlap'
    )


def _tiff_of(bands: NDArray[np.uint8]) -> bytes:
    """Return a compressed TIFF of (B, H, W) bands."""
    rasterio = import_rasterio()
    assert rasterio is not None
    count, height, width = bands.shape
    with rasterio.MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        with memory.open(
            driver='GTiff', height=height, width=width, count=count, dtype='uint8', compress='deflate',
            photometric='MINISBLACK',
        ) as file:  # fmt: skip
            file.write(bands)
        return bytes(memory.read())
