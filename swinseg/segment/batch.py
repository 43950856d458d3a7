"""Segmenting files of all kinds one after the other; one that cannot be segmented does not stop the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swinseg.errors import DataError, is_out_of_memory
from swinseg.inference import RasterError, SlideError
from swinseg.inference.prefetch import WriteBehind
from swinseg.predictor import PredictOptions, Predictor, PredictorError
from swinseg.predictor.multi_label import MultiLabelSegmentation, labels_suffix, mask_suffixes
from swinseg.predictor.segmentation import SUFFIXES, Segmentation
from swinseg.segment.annotations import Annotations, annotation_files
from swinseg.segment.outcome import Done, Outcome, largest
from swinseg.segment.progress import Progress
from swinseg.segment.results import IMAGE_KINDS, Results
from swinseg.segment.scenes.kinds import why_scene
from swinseg.segment.scenes.scene import segment_scene
from swinseg.segment.scenes.windows import Size, choose_windows
from swinseg.segment.sheets import Sheets
from swinseg.segment.sources import Source
from swinseg.segment.videos.video import VideoError, is_video, segment_video
from swinseg.visualization.colorize import check_alpha

# What the rows of a scene, which can be continued, are called in its progress.
_ROW = 'row'


@dataclass(frozen=True)
class Options:
    """How to segment; each kind of file takes what it knows.

    Attributes:
        predict: of images, scenes and videos, as ``Predictor.predict`` takes them; ``confidence`` of images and
            scenes only.
        alpha: weight of the colors in overlays.
        borders: draw each class's rim in its full color in overlays.
        sheet: also put small overlays of images and scenes into one picture, ``sheet.png``.
        annotations: also write files of images for these annotation tools, which
            :data:`swinseg.segment.annotations.FILES` names.
        image_address: what stands before the name of an image where Label Studio finds it.
        class_masks: of models of which a pixel may have several classes, also write a mask for each class.
        window, stride, blend, max_memory, bands: as ``segment_scene`` takes them. With a window every image is a
            scene, with bands every TIFF.
        frame_stride: segment every so many-th frame of a video.
        video_codec: as ``segment_video`` takes ``codec``.
        model_identity: as ``segment_scene`` takes it.
    """

    predict: PredictOptions = PredictOptions()
    alpha: float = 0.5
    borders: bool = True
    sheet: bool = False
    annotations: Sequence[str] = ()
    image_address: str = ''
    class_masks: bool = False
    window: Size | None = None
    stride: Size | None = None
    blend: str | None = None
    max_memory: int | None = None
    bands: Sequence[int] | None = None
    frame_stride: int = 1
    video_codec: str | None = None
    model_identity: Mapping[str, Any] | None = None


def segment_all(
    predictor: Predictor,
    sources: Sequence[Source],
    out: str | os.PathLike[str],
    options: Options = Options(),
    *,
    overwrite: bool = False,
) -> Outcome:
    """Segment images, scenes and videos, and show on the standard output how far the work is.

    The files of an image are written while the next one is segmented. Ctrl-C ends the work; what is done is in
    the outcome.

    Args:
        predictor: the model.
        sources: from ``find_sources``.
        out: folder for the results.
        options: for all of them.
        overwrite: replace files of the results' names that are no results of an earlier call from the same source.

    Raises:
        OutputError: a result cannot be written, or a file would be lost for it: then before anything is written.
        PredictorError, SlideError, VisualizationError: an option is wrong for all files.
    """
    check_options(predictor, options)
    results = results_of(sources, out, options, overwrite=overwrite, predictor=predictor)
    results.check()
    outcome = Outcome()
    progress = Progress(len(sources))
    with results.kept(), WriteBehind(lambda call: call()) as write:
        work = _Work(predictor, Path(out), options, progress, write)
        for source in sources:
            progress.begin(source.path)
            try:
                done = work(source)
            except (DataError, PredictorError, RasterError, SlideError, VideoError) as error:
                outcome.skipped[source.path] = str(error)
                progress.skip(str(error))
            except KeyboardInterrupt:
                outcome.interrupted = _how_to_go_on(source, progress.at)
                break
            else:
                outcome.done.append(done)
                progress.end(f'{done.kind}, {done.size}, {done.seconds:.1f} s: {done.found}')
        work.finish()
    progress.clear()
    return outcome


def check_options(predictor: Predictor, options: Options) -> None:
    """Refuse options that are wrong for all files.

    Raises:
        PredictorError, SlideError, VisualizationError: there is one.
    """
    predictor.check_options(options.predict)
    _check_kind_of_model(predictor, options)
    check_alpha(options.alpha)
    choose_windows(
        predictor.model, window=options.window, stride=options.stride, blend=options.blend
    )


def results_of(
    sources: Sequence[Source],
    out: str | os.PathLike[str],
    options: Options,
    *,
    overwrite: bool = False,
    predictor: Predictor | None = None,
) -> Results:
    """Return what ``segment_all`` would write with these arguments, by a usual model where none is given."""
    return Results(
        out,
        sources,
        confidence=options.predict.confidence,
        has_window=options.window is not None,
        has_bands=_has_bands(predictor, options),
        sheet=options.sheet,
        annotations=annotation_files(options.annotations, sources),
        overwrite=overwrite,
        image_endings=None if predictor is None else _image_endings(predictor, options),
    )


def why_scene_for(
    predictor: Predictor, path: str | os.PathLike[str], options: Options
) -> str | None:
    """Return why an image is a scene to a predictor with these options, as ``why_scene`` does."""
    return why_scene(
        path,
        has_window=options.window is not None,
        has_bands=_has_bands(predictor, options),
    )


def _has_bands(predictor: Predictor | None, options: Options) -> bool:
    """Whether a TIFF is a scene, in which pixels without data have no class; several classes have no such form."""
    if options.bands is not None:
        return True
    return predictor is not None and predictor.bands is not None and not predictor.is_multi_label


def _image_endings(predictor: Predictor, options: Options) -> list[str] | None:
    """Return how the names of an image's files end, where that depends on the model."""
    if not predictor.is_multi_label:
        return None
    labels = labels_suffix(len(predictor.classes))
    masks = mask_suffixes(predictor.classes) if options.class_masks else []
    return [*(labels if kind == 'labels' else SUFFIXES[kind] for kind in IMAGE_KINDS), *masks]


def _check_kind_of_model(predictor: Predictor, options: Options) -> None:
    """Refuse what the kind of the model has no form for.

    Raises:
        PredictorError: there is such a thing.
    """
    if options.class_masks and not predictor.is_multi_label:
        raise PredictorError(
            'a mask for each class is written of models with multi_label=True, but this one gives each pixel one '
            'class; leave --class-masks out'
        )
    for name, is_asked in (('sheet', options.sheet), ('annotations', bool(options.annotations))):
        if is_asked and predictor.is_multi_label:
            raise PredictorError(
                f'--{name} shows one class of each pixel, but the model has multi_label=True; leave it out'
            )


def _how_to_go_on(source: Source, at: str) -> str:
    if at.startswith(_ROW):
        return f'interrupted at {source.path}, {at}; the same command goes on there'
    return f'interrupted at {source.path}; the same command begins it again'


class _Work:
    """What is done with one file."""

    def __init__(
        self,
        predictor: Predictor,
        out: Path,
        options: Options,
        progress: Progress,
        write: Callable[[Callable[[], object]], None],
    ) -> None:
        self._predictor = predictor
        self._out = out
        self._options = options
        self._progress = progress
        self._write = write
        classes, palette = predictor.legend(options.predict)
        self._sheets = (
            Sheets(out, classes, palette, alpha=options.alpha, borders=options.borders)
            if options.sheet
            else None
        )
        self._annotations = Annotations(
            out, options.annotations, classes, palette, address=options.image_address
        )

    def __call__(self, source: Source) -> Done:
        options = self._options
        is_moving = is_video(source.path)
        reason = 'video' if is_moving else why_scene_for(self._predictor, source.path, options)
        if reason is None:
            return self._image(source)
        if options.annotations:
            raise DataError(
                f'{source.path} is no photograph ({reason}), of which alone files for annotation tools are '
                'written; segment it in a call of its own, without --annotations'
            )
        return self._video(source) if is_moving else self._scene(source, reason)

    def finish(self) -> None:
        """Write the last sheet, and what is about all images."""
        if self._sheets is not None:
            self._write(self._sheets.finish)
        self._write(self._annotations.finish)

    def _image(self, source: Source) -> Done:
        began = time.perf_counter()
        options = self._options
        result = segment_image(self._predictor, source.path, options.predict)
        target = self._out / source.name
        self._write(partial(save_image, result, target.parent, target.name, options))
        if self._sheets is not None:
            self._write(partial(self._sheets.add_image, source.name, result))
        self._write(partial(self._annotations.add, source, result))
        height, width = result.labels.shape
        seconds = time.perf_counter() - began
        return Done(source.path, 'image', f'{height} x {width}', seconds, largest(result.areas()))

    def _scene(self, source: Source, reason: str) -> Done:
        began = time.perf_counter()
        options = self._options
        target = self._out / source.name
        result = segment_scene(
            self._predictor, source.path, target.parent, options.predict, stem=target.name,
            window=options.window, stride=options.stride, blend=options.blend,
            max_memory=options.max_memory, bands=options.bands,
            alpha=options.alpha, borders=options.borders, model_identity=options.model_identity,
            progress=lambda done, total: self._progress.step(_ROW, done, total),
        )  # fmt: skip
        if self._sheets is not None:
            self._write(partial(self._sheets.add_scene, source.name, result))
        found = largest(result.areas)
        if result.first_row == result.shape[0]:
            found += ' (done before)'
        elif result.first_row:
            found += f' (continued at row {result.first_row})'
        size = f'{result.shape[0]} x {result.shape[1]}'
        return Done(source.path, f'scene ({reason})', size, time.perf_counter() - began, found)

    def _video(self, source: Source) -> Done:
        options = self._options
        target = self._out / source.name
        result = segment_video(
            self._predictor, source.path, target.parent, options.predict, stem=target.name,
            stride=options.frame_stride, codec=options.video_codec,
            alpha=options.alpha, borders=options.borders,
            progress=lambda done, announced: self._progress.step('frame', done, announced),
        )  # fmt: skip
        found = f'{result.frames_segmented / result.seconds:.1f} frames/s'
        if result.remark:
            found += f'; {result.remark}'
        return Done(source.path, 'video', f'{result.frames_read} frames', result.seconds, found)


def save_image(result: Segmentation, folder: Path, stem: str, options: Options) -> list[Path]:
    """Write the files of an image, whose names begin with ``stem``, and return their paths.

    Raises:
        OutputError: one cannot be written.
    """
    kinds = [*IMAGE_KINDS, *(['confidence'] if options.predict.confidence else [])]
    paths = result.save(
        folder, stem, kinds=kinds, alpha=options.alpha, borders=options.borders
    ).values()
    if options.class_masks and isinstance(result, MultiLabelSegmentation):
        return [*paths, *result.save_masks(folder, stem).values()]
    return [*paths]


def segment_image(
    predictor: Predictor,
    path: str | os.PathLike[str],
    options: PredictOptions = PredictOptions(),
) -> Segmentation:
    """Segment an image file whole.

    Args:
        predictor: the model.
        path: the image.
        options: as ``Predictor.predict`` takes them.

    Raises:
        DataError: it cannot be read, or does not fit the memory.
        PredictorError: the options ask for what the model cannot do.
    """
    try:
        return predictor.predict(os.fspath(path), options)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(
            f'image {os.fspath(path)} does not fit the memory as a whole; segment it by windows, say --window 512'
        ) from error
