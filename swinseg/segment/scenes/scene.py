"""Segmenting a scene: an image of any size by windows, at its own resolution.

Pixels are read ahead of the model and labels written behind it. Work that was interrupted goes on at the row where
it stopped, and ends in the same files.

Shapes: H, W = size of the scene; C = bands; K = classes; R = rows that are finished at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.banded import without_data
from swinseg.datasets.labels.dtype import label_dtype
from swinseg.files import make_folder, require_other_file
from swinseg.inference import (
    LabelWriter,
    RasterError,
    RasterImage,
    open_image,
    source_identity,
)
from swinseg.inference.prefetch import WriteBehind
from swinseg.inference.tiling import bands as bands_of_windows
from swinseg.models.feature_info import image_channels
from swinseg.models.multi_label import refuse_multi_label
from swinseg.predictor import PredictOptions, Predictor, PredictorError
from swinseg.raster.image import is_bands_first
from swinseg.runtimes.segmentor import ExportedSegmentor
from swinseg.segment.scenes.overview import Naming, read_shares, write_areas, write_pictures
from swinseg.segment.scenes.rows import NO_CONFIDENCE, Planes, finished_rows
from swinseg.segment.scenes.windows import (
    AugmentedWindowScores,
    Size,
    Windows,
    WindowScores,
    Workload,
    choose_windows,
    choose_workload,
)
from swinseg.visualization.colorize import check_alpha

_ROWS_LOOKED_AT = 256

Progress = Callable[[int, int], None]
"""Called with the rows done and all rows."""


@dataclass(frozen=True)
class SceneResult:
    """What became of a scene.

    Attributes:
        paths: the files, under ``'labels'``, ``'confidence'`` where it was asked for, ``'color'``, ``'overlay'``
            and ``'areas'``.
        shape: H, W.
        areas: share of the pixels with data, in [0, 1], of each class present, the largest first.
        first_row: from which labels were computed; those above are an earlier call's.
    """

    paths: dict[str, Path]
    shape: tuple[int, int]
    areas: dict[str, float]
    first_row: int


def segment_scene(
    predictor: Predictor,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: PredictOptions = PredictOptions(),
    *,
    stem: str | None = None,
    window: Size | None = None,
    stride: Size | None = None,
    blend: str | None = None,
    max_memory: int | None = None,
    bands: Sequence[int] | None = None,
    alpha: float = 0.5,
    borders: bool = True,
    model_identity: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
    finished: Iterator[tuple[int, NDArray[np.integer]]] | None = None,
) -> SceneResult:
    """Segment a TIFF, VRT, ERDAS Imagine, ``.npy``, JPEG or PNG file by windows into files of the same extent.

    Written are ``<stem>_labels`` and, on request, ``<stem>_confidence``, from 1 to 255; as ``.tif`` with the
    georeference for those of GDAL, as ``.npy`` for ``.npy`` files, and else as ``.png``. ``<stem>_color.png`` and
    ``<stem>_overlay.png`` show the whole in at most 2,048 pixels a side, and ``<stem>_areas.json`` has the area
    of each class. Pixels without data, as the file says, have the label 255, or 65,535 from 256 labels on, and
    the confidence 0; windows without any data are not computed.

    Args:
        predictor: the model.
        path: the scene. Values of more than 8 bits become 0 to 255 as the model's ``value_range`` says.
        out: folder for the results; made where it does not exist.
        options: as ``Predictor.predict`` takes them, for each window; ``batch_size`` is that of windows, None for
            a good number. ``confidence`` is written as a file, ``probabilities`` are not.
        stem: beginning of their names; None takes the file's name without suffix.
        window: side, or height and width; None takes that of the model's slide mode, or 512.
        stride: distance of neighboring windows; None takes that of the model, or three quarters of the window.
        blend: how windows are put together, as ``swinseg.inference.slide`` takes it; None takes that of the model,
            or ``'gaussian'``.
        max_memory: bytes that may be used beside the loaded model; None for no limit.
        bands: numbers of the file's bands that the model is shown, from 1; None takes those of the model's
            training, by their names where both have some, or else red, green and blue.
        alpha: weight of the colors in the overlay.
        borders: draw each class's rim in its full color there.
        model_identity: what tells the model from others, say ``source_identity`` of its checkpoint. With it, work
            of an earlier call with the same arguments is continued; None always begins anew.
        progress: called when rows are finished.
        finished: the labels, as ``finished_rows`` yields them from the top, where they were computed before.

    Raises:
        DataError: the file is missing, damaged or no image, or has more than 8 bits though nothing says what
            they mean.
        OutputError: a result cannot be written.
        PredictorError: the options ask for what the model cannot do, or for ``probabilities``; or a pixel may have
            several classes.
        RasterError: the image cannot be read by windows, has no data anywhere, or other bands than the model
            takes.
        SlideError: windows and stride do not fit each other, or the memory.
        VisualizationError: ``alpha`` is outside [0, 1].
    """
    check_alpha(alpha)
    with torch.inference_mode():
        scene = open_scene(
            predictor, path, options, window=window, stride=stride, blend=blend,
            max_memory=max_memory, bands=bands,
        )  # fmt: skip
        image, naming = scene.image, scene.naming
        paths = _result_paths(path, out, stem, image, options)
        job = (
            None
            if model_identity is None
            else _job(predictor, path, scene, options, model_identity)
        )
        # The labels do not depend on how the overlay looks, and are continued when that changes.
        complete = None if job is None else {**job, 'alpha': alpha, 'borders': borders}
        known = read_shares(paths, complete)
        if known is not None:
            return SceneResult(paths, image.shape, known, first_row=image.shape[0])
        with _writers(paths, image, naming, job) as writers:
            first_row = min(writer.rows_done for writer in writers)
            progress(first_row, image.shape[0])
            rows = finished or scene.rows(first_row)
            _write_all(writers, rows, image.shape[0], progress)
            areas = write_pictures(
                paths, image, writers[0].rows(), naming, alpha=alpha, borders=borders
            )
            # Before files of another job are replaced: it must not vouch for those of this one.
            paths['areas'].unlink(missing_ok=True)
    write_areas(paths['areas'], image.shape, areas, job=complete)
    return SceneResult(paths, image.shape, areas.shares, first_row)


@dataclass(frozen=True, eq=False)
class OpenedScene:
    """A scene and how it is segmented.

    Attributes:
        image: as the model is shown it.
        chosen: its bands; None for the usual ones.
        windows: how they lie.
        workload: how many are computed at a time.
        naming: of the labels.
        score: from windows to scores.
        planes_of: from scores to labels and, where it is asked for, confidence.
    """

    image: RasterImage
    chosen: Choice | None
    windows: Windows
    workload: Workload
    naming: Naming
    score: Callable[[torch.Tensor], torch.Tensor]
    planes_of: Planes

    def rows(
        self, first: int = 0, end: int | None = None
    ) -> Generator[tuple[int, NDArray[np.integer]], None, None]:
        """Compute the rows from ``first`` to ``end``, as ``finished_rows`` yields them."""
        return finished_rows(
            self.score, self.image, self.windows, self.workload, self.planes_of,
            first_row=first, end_row=end,
        )  # fmt: skip

    def bands(self, rows_of_windows: int) -> list[tuple[int, int]]:
        """Return first row and end of parts that can be computed apart from each other, to the same bits.

        Args:
            rows_of_windows: that are finished in a part; beside them it computes those above that reach into it.
        """
        ends = [
            band.final
            for band in bands_of_windows(
                self.image.shape[0], self.windows.size[0], self.windows.stride[0]
            )
        ]
        last = [*ends[rows_of_windows - 1 : -1 : rows_of_windows], ends[-1]]
        return list(zip([0, *last[:-1]], last, strict=True))


def open_scene(
    predictor: Predictor,
    path: str | os.PathLike[str],
    options: PredictOptions = PredictOptions(),
    *,
    window: Size | None = None,
    stride: Size | None = None,
    blend: str | None = None,
    max_memory: int | None = None,
    bands: Sequence[int] | None = None,
) -> OpenedScene:
    """Open a scene, and choose how it is segmented; arguments and errors are those of :func:`segment_scene`."""
    refuse_multi_label(predictor.model, 'scenes are segmented')
    predictor.check_options(options)
    windows = choose_windows(predictor.model, window=window, stride=stride, blend=blend)
    chosen = predictor.bands if bands is None else tuple(bands)
    image = _open_scene(predictor, path, options, bands=chosen)
    naming = _naming(predictor, options)
    with torch.inference_mode():
        score = AugmentedWindowScores(predictor) if options.tta else WindowScores(predictor.model)
        workload = choose_workload(
            score, windows, image.shape, bands=_checked_bands(predictor, image, path),
            device=predictor.device, batch_size=options.batch_size, max_memory=max_memory,
        )  # fmt: skip
    planes_of = Planes(predictor, naming, options)
    return OpenedScene(image, chosen, windows, workload, naming, score, planes_of)


def _open_scene(
    predictor: Predictor,
    path: str | os.PathLike[str],
    options: PredictOptions,
    *,
    bands: Choice | None,
) -> RasterImage:
    """Open the file as the model is shown it, or say which of the options does not go with it."""
    if options.probabilities:
        raise PredictorError(
            f'image {os.fspath(path)} is segmented by windows, of which the probabilities of all classes are not '
            'kept; leave probabilities out, or take confidence'
        )
    if isinstance(predictor.model, ExportedSegmentor) and predictor.model.metadata.resizes:
        raise PredictorError(
            f'image {os.fspath(path)} is segmented by windows, each of which the exported file would resize; '
            'export the model without --resize'
        )
    image = open_image(
        path,
        bands=bands,
        value_range=predictor.value_range,
        keep_values=predictor.keeps_values,
    )
    _require_data(image, path)
    if options.tta and image.read(0, 1, 0, 1).dtype != np.uint8:
        raise RasterError(
            f'image {os.fspath(path)} is shown to the model with the values of the file, for which scales and '
            'flips are not averaged by windows; leave --tta out'
        )
    return image


def _require_data(image: RasterImage, path: str | os.PathLike[str]) -> None:
    """Look from the top, row by row of windows, for a pixel that has data.

    Raises:
        RasterError: there is none.
    """
    height, width = image.shape
    for top in range(0, height, _ROWS_LOOKED_AT):
        if image.valid(top, min(top + _ROWS_LOOKED_AT, height), 0, width).any():
            return
    raise RasterError(without_data(path, image.shape))


def _result_paths(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    stem: str | None,
    image: RasterImage,
    options: PredictOptions,
) -> dict[str, Path]:
    """Return where each kind of result is written, in a folder that is there, and none over the scene itself."""
    base = Path(out) / (Path(path).stem if stem is None else stem)
    make_folder(base.parent)
    endings = scene_endings(
        path, is_georeferenced=image.georeference is not None, with_confidence=options.confidence
    )
    paths = {kind: base.with_name(f'{base.name}{ending}') for kind, ending in endings.items()}
    for result in paths.values():
        require_other_file(result, path)
    return paths


def _job(
    predictor: Predictor,
    path: str | os.PathLike[str],
    scene: OpenedScene,
    options: PredictOptions,
    model_identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that the labels and the confidence depend on, by which interrupted work is known again."""
    value_range = predictor.value_range
    georeference, workload = scene.image.georeference, scene.workload
    return {
        **source_identity(path), 'model': dict(model_identity), **asdict(scene.windows),
        'device': predictor.device.type, 'batch_size': workload.batch_size,
        'score_dtype': str(workload.score_dtype), 'bands': scene.chosen, 'tta': options.tta,
        'value_range': None if value_range is None else value_range.setting,
        'confidence': options.confidence, 'reject_below': options.reject_below,
        'georeference': None if georeference is None else georeference.description(),
    }  # fmt: skip


def scene_endings(
    path: str | os.PathLike[str], *, is_georeferenced: bool, with_confidence: bool
) -> dict[str, str]:
    """Return what the names of a scene's results end in, for each of ``SceneResult.paths``."""
    source = Path(path).suffix.lower()
    is_tiff = source in ('.tif', '.tiff', '.vrt', '.img') or is_georeferenced
    suffix = '.tif' if is_tiff else '.npy' if source == '.npy' else '.png'
    endings = {'labels': f'_labels{suffix}'}
    if with_confidence:
        endings['confidence'] = f'_confidence{suffix}'
    return {**endings, 'color': '_color.png', 'overlay': '_overlay.png', 'areas': '_areas.json'}


def _checked_bands(predictor: Predictor, image: RasterImage, path: str | os.PathLike[str]) -> int:
    """Return C, or say that the model takes another number of bands."""
    found = image.read(0, 1, 0, 1).shape[2]
    expected = image_channels(predictor.model.backbone)
    if expected is not None and found != expected:
        shape = (*image.shape, found)
        if Path(path).suffix.lower() == '.npy' and is_bands_first(shape):
            raise RasterError(
                f'image {os.fspath(path)} must be (height, width, bands), but is {shape}, which looks like '
                '(bands, height, width); save array.transpose(1, 2, 0)'
            )
        raise RasterError(
            f'the model takes images of {expected} bands, but {found} bands of image {os.fspath(path)} are read; '
            'choose as many of a TIFF file by --bands, or take a model that fits'
        )
    return found


def _naming(predictor: Predictor, options: PredictOptions) -> Naming:
    names, palette = predictor.legend(options)
    # Pixels without data have a value of their own.
    return Naming(names, palette, label_dtype(len(names), reserved=1))


@contextlib.contextmanager
def _writers(
    paths: Mapping[str, Path], image: RasterImage, naming: Naming, job: Mapping[str, Any] | None
) -> Iterator[list[LabelWriter]]:
    """Give the writer of the labels, and of the confidence where it has a path."""
    options: dict[str, Any] = dict(georeference=image.georeference, job=job)
    with contextlib.ExitStack() as stack:
        writers = [
            LabelWriter(
                paths['labels'], image.shape, dtype=naming.dtype, palette=naming.palette,
                nodata=naming.nodata, **options,
            )
        ]  # fmt: skip
        stack.enter_context(writers[0])
        if 'confidence' in paths:
            writers.append(
                LabelWriter(paths['confidence'], image.shape, nodata=NO_CONFIDENCE, **options)
            )
            stack.enter_context(writers[1])
        yield writers


def _write_all(
    writers: Sequence[LabelWriter],
    finished: Iterator[tuple[int, NDArray[np.integer]]],
    height: int,
    progress: Progress,
) -> None:
    """Write finished rows while the next ones are computed."""
    with (
        contextlib.closing(finished)
        if isinstance(finished, Generator)
        else contextlib.nullcontext(),
        WriteBehind(lambda *rows: _write_rows(writers, *rows)) as write,
    ):
        for first, planes in finished:
            write(first, planes)
            progress(first + planes.shape[1], height)


def _write_rows(writers: Sequence[LabelWriter], first: int, planes: NDArray[np.integer]) -> None:
    for writer, rows in zip(writers, planes, strict=True):
        # After an interruption one may have more rows than the other.
        missing = rows[max(0, writer.rows_done - first) :]
        if len(missing):
            writer.write_rows(writer.rows_done, missing)
