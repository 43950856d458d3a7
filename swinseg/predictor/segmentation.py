"""Result of the :class:`~swinseg.predictor.Predictor`: the labels of one image, and ways to look at them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg import files
from swinseg.visualization import annotation_formats, polygon_formats
from swinseg.visualization import colorize as drawing
from swinseg.visualization.areas import class_shares
from swinseg.visualization.legend import add_legend, legend_entries
from swinseg.visualization.palette import Palette, VisualizationError
from swinseg.visualization.png_files import save_indexed_png, save_rgb_png
from swinseg.visualization.polygons import Polygon, trace_polygons
from swinseg.visualization.resize import fit

_NOTEBOOK_SIDE = 1024

SUFFIXES = {
    'labels': '_labels.png',
    'color': '_color.png',
    'overlay': '_overlay.png',
    'confidence': '_confidence.png',
    'confidence16': '_confidence16.png',
    'probabilities': '_probabilities.npy',
    'geojson': '_polygons.geojson',
    'coco': '_coco.json',
    'yolo': '_yolo.txt',
    'cvat': '_cvat.xml',
    'label-studio': '_label-studio.json',
}
"""What :meth:`Segmentation.save` can write, and how the names of the files end."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels of one image.

    Attributes:
        labels: (H, W) class indices, uint8 up to 256 classes, else uint16.
        classes: a name for each label: those of the model's K classes and, where pixels could be rejected as too
            uncertain, ``'rejected'`` for label K.
        palette: a color for each label, uint8 RGB.
        image: (H, W, 3) uint8 RGB, the image that was segmented.
        confidence: (H, W) float32 in [0, 1], the probability of the label, or of the class that was
            rejected; None when it was not asked for.
        probabilities: (K, H, W) float32 in [0, 1]; None when they were not asked for.
        name: the image's file name without its suffix, or ``'image'``.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    classes: tuple[str, ...]
    palette: Palette
    image: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    name: str = 'image'

    # A label is a class even where its index is mmseg's ignore index: none is ignored here.

    def color(self) -> NDArray[np.uint8]:
        """Return the labels in the palette's colors, (H, W, 3) uint8 RGB."""
        return drawing.colorize(self.labels, self.palette, ignore_index=len(self.classes))

    def overlay(
        self, alpha: float = 0.5, legend: bool = True, *, borders: bool = True
    ) -> NDArray[np.uint8]:
        """Return the image with the colors blended in, uint8 RGB.

        Args:
            alpha: weight of the colors in [0, 1].
            legend: put the classes present beside or below the image, which makes the picture
                larger.
            borders: draw each class's rim in its full color.

        Raises:
            VisualizationError: alpha is outside [0, 1].
        """
        return drawing.overlay(
            self.image,
            self.labels,
            self.palette,
            alpha=alpha,
            borders=borders,
            classes=self.classes if legend else None,
            ignore_index=len(self.classes),
        )

    def areas(self, *, pixel_area: float | None = None) -> dict[str, float]:
        """Return the area of each class present, the largest first.

        Args:
            pixel_area: what a pixel covers, say 0.01 (square meters) for pixels of 10 cm, or 1 to count
                them; None for shares of the picture, in [0, 1].
        """
        share = class_shares(self.labels, len(self.classes), ignore_index=len(self.classes))
        area = share if pixel_area is None else np.rint(share * self.labels.size) * pixel_area
        order = np.argsort(-share, kind='stable')
        return {self.classes[i]: float(area[i]) for i in order if share[i] > 0}

    def polygons(self, *, min_area: int = 0, tolerance: float = 0.0) -> dict[str, list[Polygon]]:
        """Outline the regions of each class present.

        Args:
            min_area: leave out regions with fewer pixels, and fill holes with fewer.
            tolerance: how far in pixels simplified outlines may run from the exact ones; 0 keeps those.

        Returns:
            By class name, in the order of the classes; the largest polygon of a class first. Each has an
            ``exterior`` and ``holes`` along the sides of pixels, so that its ``area`` is the number of pixels, and
            the mean ``confidence`` where that was asked for.

        Raises:
            VisualizationError: an argument is negative.
        """
        found: dict[str, list[Polygon]] = {}
        for polygon in self._polygons(min_area, tolerance):
            found.setdefault(self.classes[polygon.label], []).append(polygon)
        return found

    def to_geojson(self, *, min_area: int = 0, tolerance: float = 0.0) -> dict[str, Any]:
        """Return the polygons as a GeoJSON FeatureCollection in pixel coordinates.

        The arguments are those of :meth:`polygons`; for the rest see
        :func:`swinseg.visualization.polygon_formats.to_geojson`.
        """
        return polygon_formats.to_geojson(
            self._polygons(min_area, tolerance), classes=self.classes, palette=self.palette
        )

    def to_coco(
        self,
        *,
        outline: polygon_formats.CocoOutline = 'rle',
        file_name: str | None = None,
        min_area: int = 0,
        tolerance: float = 0.0,
    ) -> dict[str, Any]:
        """Return the polygons as a COCO data set of one image.

        Args:
            outline: ``'rle'`` for exact pixels, ``'polygon'`` for corners.
            file_name: of the image; None takes :attr:`name`.
            min_area: as for :meth:`polygons`.
            tolerance: as for :meth:`polygons`.

        Raises:
            VisualizationError: an argument is wrong, or ``'rle'`` is asked for with a tolerance.
        """
        return polygon_formats.to_coco(
            self._polygons(min_area, tolerance),
            classes=self.classes,
            size=self.labels.shape,
            file_name=self.name if file_name is None else file_name,
            outline=outline,
        )

    def to_yolo(self, *, min_area: int = 0, tolerance: float = 0.0) -> str:
        """Return the polygons as a label file of YOLO.

        The arguments are those of :meth:`polygons`; for the rest see
        :func:`swinseg.visualization.annotation_formats.to_yolo`.
        """
        return annotation_formats.to_yolo(
            self._polygons(min_area, tolerance), classes=self.classes, size=self.labels.shape
        )

    def to_cvat(self, *, file_name: str | None = None) -> str:
        """Return the masks of the classes as an XML file of CVAT for this one image.

        Args:
            file_name: of the image in CVAT's task; None takes :attr:`name`.
        """
        name = self.name if file_name is None else file_name
        image = annotation_formats.cvat_image(self.labels, classes=self.classes, name=name)
        return annotation_formats.to_cvat([image], classes=self.classes, palette=self.palette)

    def to_label_studio(self, *, address: str | None = None) -> list[dict[str, Any]]:
        """Return the masks of the classes as predictions of Label Studio, a list of one task.

        Args:
            address: of the image, where Label Studio finds it; None takes :attr:`name`.
        """
        return [
            annotation_formats.label_studio_task(
                self.labels,
                classes=self.classes,
                address=self.name if address is None else address,
                confidence=self.confidence,
            )
        ]

    def confidence_levels(self, dtype: type[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """Return the (H, W) confidence, which must be there, from 0 to the largest value of ``dtype``."""
        assert self.confidence is not None
        return np.rint(self.confidence.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)

    def save(
        self,
        folder: str | os.PathLike[str],
        stem: str | None = None,
        *,
        kinds: Sequence[str] = ('labels', 'color', 'overlay'),
        alpha: float = 0.5,
        borders: bool = True,
    ) -> dict[str, Path]:
        """Write files that begin with ``stem``.

        Args:
            folder: made where it does not exist.
            stem: beginning of the file names; None takes :attr:`name`.
            kinds: what to write: ``'labels'`` (``_labels.png``: indices, palette inside), ``'color'``
                (``_color.png``), ``'overlay'`` (``_overlay.png``, with a legend), ``'confidence'``
                (``_confidence.png``, 0 to 255) or ``'confidence16'`` (``_confidence16.png``, 0 to 65535),
                ``'probabilities'`` (``_probabilities.npy``, (K, H, W) float32), ``'geojson'``
                (``_polygons.geojson``), ``'coco'`` (``_coco.json``), and for annotation tools ``'yolo'``
                (``_yolo.txt``), ``'cvat'`` (``_cvat.xml``), ``'label-studio'`` (``_label-studio.json``).
            alpha: of the overlay, as :meth:`overlay` takes it.
            borders: of the overlay, as :meth:`overlay` takes them.

        Returns:
            The path of each kind.

        Raises:
            OutputError: the folder or a file cannot be written.
            VisualizationError: a kind is unknown or was not asked of the predictor, or alpha is outside [0, 1].
        """
        for kind in kinds:
            self._check_kind(kind)
        # Before any file is written: alpha may be wrong.
        overlay = self.overlay(alpha, borders=borders) if 'overlay' in kinds else self.image
        writers: dict[str, Callable[[Path], None]] = {
            'labels': self._save_labels,
            'color': lambda path: save_rgb_png(path, self.color()),
            'overlay': lambda path: save_rgb_png(path, overlay),
            'confidence': lambda path: self._save_confidence(path, np.uint8),
            'confidence16': lambda path: self._save_confidence(path, np.uint16),
            'probabilities': self._save_probabilities,
            'geojson': lambda path: _save_json(path, self.to_geojson()),
            'coco': lambda path: _save_json(path, self.to_coco()),
            'yolo': lambda path: files.write_text(path, self.to_yolo()),
            'cvat': lambda path: files.write_text(path, self.to_cvat()),
            'label-studio': lambda path: _save_json(path, self.to_label_studio()),
        }
        target = files.make_folder(folder)
        stem = self.name if stem is None else stem
        paths = {kind: target / f'{stem}{self._suffix(kind)}' for kind in kinds}
        for kind, path in paths.items():
            writers[kind](path)
        return paths

    def _suffix(self, kind: str) -> str:
        return SUFFIXES[kind]

    def _save_labels(self, path: Path) -> None:
        save_indexed_png(path, self.labels, self.palette)

    def _check_kind(self, kind: str) -> None:
        if kind not in SUFFIXES:
            raise VisualizationError(
                f'kinds of files are {", ".join(SUFFIXES)}, but {kind!r} was asked for'
            )
        asked = 'confidence' if kind == 'confidence16' else kind
        if asked in ('confidence', 'probabilities') and getattr(self, asked) is None:
            raise VisualizationError(
                f'there is no {asked} to write; call the predictor with {asked}=True'
            )

    def _save_confidence(self, path: Path, dtype: type[np.unsignedinteger]) -> None:
        """Write a gray PNG that uses the whole range of ``dtype``."""
        with files.atomic_path(path) as temporary:
            Image.fromarray(self.confidence_levels(dtype)).save(temporary, format='PNG')

    def _save_probabilities(self, path: Path) -> None:
        assert self.probabilities is not None
        with files.atomic_path(path) as temporary:
            np.save(temporary, self.probabilities)

    def _polygons(self, min_area: int, tolerance: float) -> list[Polygon]:
        return trace_polygons(
            self.labels, confidence=self.confidence, min_area=min_area, tolerance=tolerance
        )

    def _repr_png_(self) -> bytes:
        """Return the overlay with its legend for a notebook, made smaller where it is large."""
        buffer = io.BytesIO()
        picture = self._thumbnail(min(_NOTEBOOK_SIDE, max(self.labels.shape)))
        Image.fromarray(picture).save(buffer, format='PNG')
        return buffer.getvalue()

    def _thumbnail(self, side: int) -> NDArray[np.uint8]:
        """Return the overlay with its legend at a longer side."""
        image, labels = fit(self.image, self.labels, side)
        picture = drawing.overlay(
            image, labels, self.palette, borders=True, ignore_index=len(self.classes)
        )
        entries = legend_entries(
            self.labels, self.palette, self.classes, ignore_index=len(self.classes)
        )
        return add_legend(picture, entries)


def _save_json(path: Path, content: Any) -> None:
    files.write_text(path, json.dumps(content, separators=(',', ':')))
