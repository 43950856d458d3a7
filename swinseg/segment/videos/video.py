"""Segmenting a video: frames are decoded, segmented and encoded at the same time.

Labels are the predictor's; the written video shows them over the frames, with a legend whose lines stay in place.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.files import atomic_path, make_folder, require_other_file
from swinseg.inference.prefetch import ReadAhead, WriteBehind
from swinseg.models.multi_label import refuse_multi_label
from swinseg.predictor import PredictOptions, Predictor
from swinseg.predictor.segmentation import Segmentation
from swinseg.segment.videos.files import (
    VIDEO_SUFFIXES,
    WRITTEN_SUFFIXES,
    Frame,
    Span,
    VideoError,
    VideoReader,
    VideoWriter,
    is_video,
)
from swinseg.segment.videos.libraries import check_codec, open_video, writing_video
from swinseg.visualization.areas import class_shares
from swinseg.visualization.colorize import RGBImage, overlay
from swinseg.visualization.legend_panel import LegendPanel
from swinseg.visualization.palette import Palette
from swinseg.visualization.png_files import save_indexed_png

__all__ = ['VIDEO_SUFFIXES', 'VideoError', 'VideoResult', 'is_video', 'segment_video']

# Frames that wait between two threads: enough to even out their pace, little enough for 4K frames.
_WAITING_FRAMES = 4

_AREAS, _OVERLAY = '_areas.csv', '_overlay'
VIDEO_ENDINGS = (_AREAS, *(f'{_OVERLAY}{suffix}' for suffix in WRITTEN_SUFFIXES))
"""What the names of a video's results may end in."""

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames that the file announces, None where it does not."""

Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Attributes:
        video: the written video with the overlay.
        areas: CSV file, a line for each segmented frame: its number, its own time in seconds, also where the rate
            varies, and the share of its pixels, in [0, 1], that each class covers.
        labels: folder with a label PNG for each segmented frame; None when it was not asked for.
        frames_read: that the file held, those left out by the stride among them.
        frames_segmented: by the model.
        frames_written: to the video.
        fps_in: frames per second of the file, their mean where it varies.
        fps_out: frames per second of the written video, likewise.
        seconds: that all of it took.
        remark: sentences, when fewer frames could be read than the file announces or its sound is not copied as it
            is, else None.
    """

    video: Path
    areas: Path
    labels: Path | None
    frames_read: int
    frames_segmented: int
    frames_written: int
    fps_in: float
    fps_out: float
    seconds: float
    remark: str | None


def segment_video(
    predictor: Predictor,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: PredictOptions = PredictOptions(),
    *,
    stem: str | None = None,
    stride: int = 1,
    hold: bool = True,
    alpha: float = 0.5,
    borders: bool = True,
    legend: bool = True,
    labels: bool = False,
    codec: str | None = None,
    progress: Progress = lambda done, announced: None,
) -> VideoResult:
    """Segment a video and write ``<stem>_overlay.mp4``, ``<stem>_areas.csv`` and, on request, label PNGs.

    A video that ends early is done as far as it goes; the result says so. Frames are shown at their own times,
    with the sound of the file. Where PyAV is not installed (``pip install 'swinseg[video]'``), OpenCV reads and
    writes, without sound, at one rate; a warning says so.

    Args:
        predictor: the model.
        path: the video, in any format that PyAV decodes. Frames are turned and mirrored as the file asks for,
            and have square pixels; the first video track counts, or the one that FFmpeg takes for the best.
        out: folder for the results; made where it does not exist.
        options: as ``Predictor.predict`` takes them; ``batch_size`` is that of frames, None for 1;
            ``batch_size * stride`` frames are kept in memory. There are no files of ``confidence`` and
            ``probabilities``.
        stem: beginning of the results' names; None takes the file's name without suffix.
        stride: segment one frame, leave out ``stride - 1``, and so on.
        hold: show the frames left out as well, with the labels of the last segmented one. False leaves them out
            of the written video, in which the others stay the longer.
        alpha: weight of the colors in the overlay.
        borders: draw each class's rim in its full color.
        legend: put the classes beside the frames, which makes the video wider.
        labels: also write ``<stem>_labels/<frame number>.png``, with the palette inside.
        codec: ``'h264'`` for MP4 or ``'vp9'`` for WebM, ``<stem>_overlay.webm``; None for H.264 where PyAV's build
            encodes it. Frames of an odd height or width are continued by a row or column.
        progress: called after each frame.

    Raises:
        VideoError: the video cannot be read, ``stride`` is less than 1, the options ask for what is not written,
            or there is no encoder.
        VisualizationError: ``alpha`` is outside [0, 1].
        OutputError: a result cannot be written.
        PredictorError: the options ask for what the model cannot do, or a pixel may have several classes.
    """
    _check(path, options, stride=stride)
    check_codec(codec)
    refuse_multi_label(predictor.model, 'videos are segmented')
    predictor.check_options(options)
    began = time.perf_counter()

    def segment(timed: Sequence[_TimedFrame]) -> list[Segmentation]:
        return list(predictor.stream([each.frame for each in timed], options))

    left_out = 0 if hold else stride - 1
    segmented = done = 0
    with open_video(path) as reader:
        base = _base_of_results(reader.path, out, stem)
        classes, palette = predictor.legend(options)
        panel = LegendPanel(palette, classes, reader.frame_size) if legend else None
        label_folder = make_folder(base.with_name(f'{base.name}_labels')) if labels else None
        with (
            _writing_results(
                base, classes, palette, panel, label_folder, source=reader,
                fps=reader.fps / (left_out + 1), codec=codec, alpha=alpha, borders=borders,
            ) as results,
            WriteBehind(results.write, depth=_WAITING_FRAMES) as write,
            ReadAhead(
                lambda: _read(reader, left_out), itertools.repeat(()), depth=_WAITING_FRAMES
            ) as read,
        ):  # fmt: skip
            for timed, result in in_order(
                _until_none(read), segment,
                stride=stride if hold else 1, batch_size=options.batch_size or 1,
            ):  # fmt: skip
                number = done * (left_out + 1)
                write(number, timed, result)
                done += 1
                segmented += result is not None
                progress(number + 1, reader.announced)
    return VideoResult(
        video=results.video.path,
        areas=base.with_name(f'{base.name}{_AREAS}'),
        labels=label_folder,
        frames_read=reader.count,
        frames_segmented=segmented,
        frames_written=results.video.count,
        fps_in=reader.fps,
        fps_out=results.video.fps,
        seconds=time.perf_counter() - began,
        remark='; '.join(_remarks(reader, results.video)) or None,
    )


def _remarks(reader: VideoReader, writer: VideoWriter) -> list[str]:
    told = reader.remark()
    return [*([] if told is None else [told]), *writer.remarks()]


def _check(path: str | os.PathLike[str], options: PredictOptions, *, stride: int) -> None:
    if stride < 1:
        raise VideoError(f'stride must be 1 or more, but is {stride}')
    for name in ('confidence', 'probabilities'):
        if getattr(options, name):
            raise VideoError(
                f'video {os.fspath(path)} takes no {name}; segment it in a call of its own, without {name}'
            )


def _base_of_results(path: Path, out: str | os.PathLike[str], stem: str | None) -> Path:
    """Return what the paths of all results begin with, in a folder that is there; none is the video."""
    base = Path(out) / (path.stem if stem is None else stem)
    make_folder(base.parent)
    for ending in VIDEO_ENDINGS:
        require_other_file(base.with_name(f'{base.name}{ending}'), path)
    return base


def in_order(
    items: Iterable[Item],
    function: Callable[[Sequence[Item]], Sequence[Result]],
    *,
    stride: int,
    batch_size: int,
) -> Iterator[tuple[Item, Result | None]]:
    """Apply a function to every ``stride``-th item, in batches, and yield all items in their order.

    Args:
        items: taken one by one; at most ``(batch_size - 1) * stride + 1`` are kept.
        function: from a batch to its results, one for each item.
        stride: the first item, and each ``stride`` further on, is in a batch.
        batch_size: of all batches but the last, which may be smaller.

    Yields:
        An item and its result, None for the items in between.
    """
    waiting: list[Item] = []

    def finished() -> Iterator[tuple[Item, Result | None]]:
        results = function(waiting[::stride])
        for position, item in enumerate(waiting):
            yield item, None if position % stride else results[position // stride]
        waiting.clear()

    for number, item in enumerate(items):
        if number % stride and not waiting:
            yield item, None
            continue
        waiting.append(item)
        if len(waiting) == (batch_size - 1) * stride + 1:
            yield from finished()
    if waiting:
        yield from finished()


class _Results:
    """Draws labels over frames and writes what belongs to each; used by one thread."""

    def __init__(
        self,
        palette: Palette,
        panel: LegendPanel | None,
        size: tuple[int, int],
        video: VideoWriter,
        lines: Any,
        label_folder: Path | None,
        *,
        alpha: float,
        borders: bool,
    ) -> None:
        self._palette = palette
        self._panel = panel
        self._size = size
        self.video = video
        self._lines = lines
        self._label_folder = label_folder
        self._alpha = alpha
        self._borders = borders
        self._labels: NDArray[np.integer]
        self._legend: RGBImage | None = None

    def write(self, number: int, timed: _TimedFrame, result: Segmentation | None) -> None:
        """Write a frame; one without a result of its own shows the labels of the last that had."""
        if result is not None:
            self._take(number, timed.seconds, result)
        picture = overlay(
            timed.frame, self._labels, self._palette,
            alpha=self._alpha, borders=self._borders, ignore_index=len(self._palette),
        )  # fmt: skip
        self.video.write(_on_canvas(picture, self._legend, self._size), timed.span)

    def _take(self, number: int, seconds: float, result: Segmentation) -> None:
        self._labels = result.labels
        count = len(self._palette)
        share = class_shares(self._labels, count, ignore_index=count)
        self._lines.writerow((number, f'{seconds:.3f}', *(f'{each:.6g}' for each in share)))
        if self._label_folder is not None:
            save_indexed_png(self._label_folder / f'{number:06d}.png', self._labels, self._palette)
        if self._panel is not None:
            self._legend = self._panel.draw(share)


@contextlib.contextmanager
def _writing_results(
    base: Path,
    classes: Sequence[str],
    palette: Palette,
    panel: LegendPanel | None,
    label_folder: Path | None,
    *,
    source: VideoReader,
    fps: float,
    codec: str | None,
    alpha: float,
    borders: bool,
) -> Iterator[_Results]:
    """Open the files of a video's results; they are there when the block ends, and not when it fails."""
    size = _picture_size(source.frame_size, panel)
    with (
        _writing_lines(base.with_name(f'{base.name}{_AREAS}')) as lines,
        writing_video(
            base.with_name(f'{base.name}{_OVERLAY}'), source, frame_size=size, fps=fps, codec=codec
        ) as video,
    ):
        lines.writerow(('frame', 'seconds', *classes))
        yield _Results(
            palette, panel, size, video, lines, label_folder, alpha=alpha, borders=borders
        )


class _TimedFrame(NamedTuple):
    """A frame, its time in seconds from the first one's, and when it is shown, by the file's clock."""

    frame: Frame
    seconds: float
    span: Span


def _read(reader: VideoReader, left_out: int) -> _TimedFrame | None:
    frame = reader.read()
    if frame is None:
        return None
    seconds, start = reader.seconds, reader.span.start
    reader.skip(left_out)
    return _TimedFrame(frame, seconds, Span(start, reader.span.end))


def _until_none(read: Callable[[], _TimedFrame | None]) -> Iterator[_TimedFrame]:
    while (timed := read()) is not None:
        yield timed


def _picture_size(frame_size: tuple[int, int], panel: LegendPanel | None) -> tuple[int, int]:
    """Return (height, width) of the written frames: even, as the usual form of colors has it, of half the size."""
    height, width = frame_size
    if panel is not None:
        height, width = max(height, panel.size[0]), width + panel.size[1]
    return height + height % 2, width + width % 2


def _on_canvas(picture: RGBImage, legend: RGBImage | None, size: tuple[int, int]) -> RGBImage:
    """Return a picture of (height, width) ``size``, with the legend at the right."""
    height, width = picture.shape[:2]
    if legend is None:
        below, right = size[0] - height, size[1] - width
        return cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
    canvas = np.full((*size, 3), 255, np.uint8)
    canvas[:height, :width] = picture
    canvas[: legend.shape[0], width : width + legend.shape[1]] = legend
    return canvas


@contextlib.contextmanager
def _writing_lines(path: Path) -> Iterator[Any]:
    with (
        atomic_path(path) as temporary,
        open(temporary, 'w', newline='', encoding='utf-8') as file,
    ):
        yield csv.writer(file)
