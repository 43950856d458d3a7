"""One unit of a bulk job: fetch an input, segment it, store what is written, and say what became of it.

Every engine calls a :class:`Segmenter`, one for each model that it has loaded. Its result depends on the unit and
the setup alone, not on who calls it, what was computed before, or what is computed at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import errno
import json
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from swinseg.errors import UserError, is_out_of_memory
from swinseg.files import OutputError
from swinseg.models.prepare import Kernels, fixed_kernels
from swinseg.predictor import Predictor
from swinseg.predictor.arguments import predictor_of
from swinseg.segment.batch import Options, check_options, save_image, why_scene_for
from swinseg.segment.bulk import remote, remote_scenes, storage
from swinseg.segment.bulk.manifest import DONE, FAILED, Row
from swinseg.segment.bulk.scene_parts import SceneParts
from swinseg.segment.scenes.scene import OpenedScene, open_scene, segment_scene
from swinseg.segment.videos.video import is_video, segment_video
from swinseg.visualization import color_blind_palette
from swinseg.visualization.palette import Palette

Result = TypeVar('Result')

# Errors of one name, not of the place where all results go.
_ERRNOS_OF_A_NAME = (
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EILSEQ,
    errno.EINVAL,
)


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know before its first unit; it can be pickled.

    Attributes:
        model: arguments that ``swinseg.predictor.arguments.predictor_of`` reads, but device and threads; and
            ``device_type``, ``'cpu'`` or ``'cuda'``.
        options: how to segment; ``sheet`` and ``annotations``, which are about all files together, are not used.
        out: folder of the results, a path or an address.
        threads: of the processor, for each worker.
        kernels: of the layers, for every worker; None where each may measure which are fastest.
        color_blind: whether the palette is the one for color-blind eyes, in the place of the checkpoint's.
        scratch: folder for the bands of shared scenes, a path or an address that all workers see; None for
            scenes that are never shared.
        shared_pixels: of a scene, from which on its bands are shared by all workers.
        band_windows: rows of windows in a band; a row above it is computed twice.
    """

    model: Mapping[str, Any]
    options: Options
    out: str
    threads: int
    kernels: Kernels | None = None
    color_blind: bool = False
    scratch: str | None = None
    shared_pixels: int = 2**26
    band_windows: int = 8

    def identity(self) -> dict[str, Any]:
        """Return what the results depend on, as JSON values."""
        options = dataclasses.asdict(self.options)
        for name in ('sheet', 'annotations', 'image_address'):
            options.pop(name)
        own = {name: self.model.get(name) for name in ('device_type', 'compile', 'value_range')}
        if own['device_type'] == 'cpu':
            # Sums are taken in another order by another number of threads.
            own['threads'] = self.threads
            own['kernels'] = None if self.kernels is None else dataclasses.asdict(self.kernels)
        identity: dict[str, Any] = json.loads(
            json.dumps({**own, **options, 'color_blind': self.color_blind}, default=str)
        )
        return identity


@dataclass(frozen=True)
class Unit:
    """What a worker is given.

    Attributes:
        address: of the input.
        name: of the results, relative to the folder of results.
        attempts: how often a worker died of it, or of what it did at the same time.
        fault: a sentence where it is no address at all, else None.
        band: first row and end of the rows of a scene that are to be computed; None for the whole input.
        bands: of a scene, all bands, which are computed and to be put together; else empty.
    """

    address: str
    name: str
    attempts: int = 0
    fault: str | None = None
    band: tuple[int, int] | None = None
    bands: tuple[tuple[int, int], ...] = ()

    @property
    def is_alone(self) -> bool:
        """Whether nothing else is to be with the worker meanwhile, so that it is known what kills it."""
        return self.attempts > 0


@dataclass(frozen=True)
class Split:
    """The input is a large scene, of which these bands are to be computed, and then put together.

    Attributes:
        bands: all of them, first row and end.
        missing: those that are not there yet from an earlier run.
    """

    bands: tuple[tuple[int, int], ...]
    missing: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BandDone:
    """A band was computed, and its rows are stored."""


@dataclass(frozen=True)
class Again:
    """Memory ran out; alone it may suffice.

    Attributes:
        error: the sentence where it does not.
    """

    error: str


@dataclass(frozen=True)
class Stop:
    """The job cannot go on: the place of the results does not take them.

    Attributes:
        error: one sentence.
    """

    error: str


Outcome = Row | Split | BandDone | Again | Stop
"""What a unit comes to."""


@dataclass(frozen=True)
class ModelFacts:
    """What a worker says of the model that it has loaded.

    Attributes:
        classes: a name for each label.
        palette: a color for each label.
        device: where the model is.
    """

    classes: tuple[str, ...]
    palette: Palette
    device: str


class Segmenter:
    """A loaded model that works on units; several threads may call it.

    Inputs are fetched, decoded, encoded and stored in the caller's threads, and the model computes one after the
    other in a thread of its own. So two or three calls at a time keep it busy.

    Args:
        setup: of the job.
        device: of the model, as ``--device`` takes it.

    Raises:
        UserError: the model cannot be loaded, an option is wrong for all inputs, or the place of the results is no
            address.
    """

    def __init__(self, setup: Setup, device: str = 'auto') -> None:
        self._setup = setup
        self._options = setup.options
        self._place = storage.place_of(setup.out)
        self.predictor = _load(setup, device)
        check_options(self.predictor, setup.options)
        self._copying = threading.Lock()
        self._copy: _Copy | None = None
        # Addresses that GDAL failed to read.
        self._unreadable: set[str] = set()
        self._model = ThreadPoolExecutor(1, thread_name_prefix='model')

    @property
    def facts(self) -> ModelFacts:
        """What the model is."""
        classes, palette = self.predictor.legend(self._options.predict)
        return ModelFacts(classes, palette, str(self.predictor.device))

    def __call__(self, unit: Unit, *, worker: str = '') -> Outcome:
        """Work on a unit; what is wrong with its input becomes a row, not an exception.

        Args:
            unit: what to do.
            worker: its name, for the row.
        """
        began = time.perf_counter()
        try:
            if unit.fault is not None:
                raise remote.StorageError(unit.fault)
            outcome = self._work_or_copy(unit)
        except UserError as error:
            if isinstance(error, OutputError) and not _is_of_a_name(error):
                return Stop(str(error))
            outcome = failed_row(unit, str(error))
        except Exception as error:
            sentence = f'{unit.address} cannot be segmented: {_said(error)}'
            if is_out_of_memory(error):
                return Again(
                    f'{unit.address} does not fit the memory ({_said(error)}); segment it by windows, say '
                    '--window 512'
                )
            outcome = failed_row(unit, sentence)
        if not isinstance(outcome, Row):
            return outcome
        return dataclasses.replace(
            outcome, attempts=unit.attempts + 1, seconds=time.perf_counter() - began, worker=worker,
            finished=time.time(),
        )  # fmt: skip

    def _work_or_copy(self, unit: Unit) -> Outcome:
        """Work on a unit, with a copy of it where GDAL fails to read it at its address."""
        # Before the work, for another thread may find out meanwhile.
        may_copy = remote.is_remote(unit.address) and unit.address not in self._unreadable
        try:
            return self._work(unit)
        except UserError as error:
            if not (may_copy and remote_scenes.is_of_gdal(error)):
                raise
        with self._copying:
            self._unreadable.add(unit.address)
            self._copy = None
        return self._work(unit)

    def _work(self, unit: Unit) -> Outcome:
        with self._fetched(unit) as path:
            if is_video(path):
                return self._video(unit, path)
            if why_scene_for(self.predictor, path, self._options) is not None:
                return self._of_scene(unit, path)
            return self._image(unit, path)

    @contextlib.contextmanager
    def _fetched(self, unit: Unit) -> Iterator[Path]:
        """Give the input as a file of this machine; messages about it name its address."""
        with contextlib.ExitStack() as stack:
            if not remote.is_remote(unit.address):
                path = Path(unit.address)
            elif unit.band is not None or unit.bands:
                copy = self._kept_copy(unit.address)
                path = copy.path
            else:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='swinseg-'))
                path = self._here(unit.address, Path(folder))
            try:
                yield path
            except UserError as error:
                if str(path) == unit.address or isinstance(error, OutputError):
                    raise
                raise remote.StorageError(str(error).replace(str(path), unit.address)) from error

    def _kept_copy(self, address: str) -> _Copy:
        """Return a copy of a remote scene, kept until another one is asked for: its bands come together."""
        with self._copying:
            if self._copy is None or self._copy.address != address:
                self._copy = _Copy(address, self._here)
            return self._copy

    def _here(self, address: str, folder: Path) -> Path:
        """Return a file of this machine that gives a remote input: a copy, or what reads a scene by windows."""
        if address not in self._unreadable:
            path = remote_scenes.stand_in(address, folder)
            if path is not None:
                return path
        return remote.fetch(address, folder)

    def _image(self, unit: Unit, path: Path) -> Row:
        options = self._options
        given = self.predictor.load(os.fspath(path), options.predict)
        result = self._on_model(lambda: self.predictor.predict_loaded(given, options.predict))
        with self._place.beginning(unit.name) as (folder, stem):
            paths = save_image(result, folder, stem, options)
            endings = tuple(sorted(each.name[len(stem) :] for each in paths))
        height, width = result.labels.shape
        return _done_row(unit, endings, 'image', (height, width), result.areas())

    def _of_scene(self, unit: Unit, path: Path) -> Outcome:
        """Segment a scene, or a band of it, or say that it is one for all workers."""
        if self._setup.scratch is None:
            return self._scene(unit, path)
        parts = SceneParts(self._setup.scratch, self._identity_of(unit, path))
        if unit.band is not None:
            band = unit.band
            self._on_model(lambda: parts.compute(self._opened(path), band))
            return BandDone()
        if unit.bands:
            with parts.all_rows(unit.bands) as rows:
                row = self._scene(unit, path, rows)
            parts.clear()
            return row
        scene = self._on_model(lambda: self._opened(path))
        height, width = scene.image.shape
        if height * width < self._setup.shared_pixels:
            return self._scene(unit, path)
        bands = tuple(scene.bands(self._setup.band_windows))
        if len(bands) == 1:
            return self._scene(unit, path)
        return Split(bands, parts.missing(bands))

    def _identity_of(self, unit: Unit, path: Path) -> list[Any]:
        """Return what the labels of a scene depend on."""
        if remote.is_remote(unit.address):
            # What stands in for it has a size of its own, and a copy the time of copying.
            return [unit.address, remote.size_of(unit.address), 0, self._setup.identity()]
        status = os.stat(path)
        return [unit.address, status.st_size, status.st_mtime_ns, self._setup.identity()]

    def _opened(self, path: Path) -> OpenedScene:
        options = self._options
        return open_scene(
            self.predictor, path, options.predict, window=options.window, stride=options.stride,
            blend=options.blend, max_memory=options.max_memory, bands=options.bands,
        )  # fmt: skip

    def _scene(
        self, unit: Unit, path: Path, rows: Iterator[tuple[int, NDArray[Any]]] | None = None
    ) -> Row:
        options = self._options
        is_here = not remote.is_remote(unit.address)
        with self._place.beginning(unit.name) as (folder, stem):
            result = self._on_model(
                lambda: segment_scene(
                    self.predictor, path, folder, options.predict, stem=stem, window=options.window,
                    stride=options.stride, blend=options.blend, max_memory=options.max_memory,
                    bands=options.bands, alpha=options.alpha, borders=options.borders,
                    # A copy of a remote file has a path and a time that are not those of the next copy.
                    model_identity=options.model_identity if is_here else None,
                    finished=rows,
                )
            )  # fmt: skip
            endings = tuple(sorted(each.name[len(stem) :] for each in result.paths.values()))
        return _done_row(unit, endings, 'scene', result.shape, result.areas)

    def _video(self, unit: Unit, path: Path) -> Row:
        options = self._options
        with self._place.beginning(unit.name) as (folder, stem):
            result = self._on_model(
                lambda: segment_video(
                    self.predictor, path, folder, options.predict, stem=stem,
                    stride=options.frame_stride, codec=options.video_codec, alpha=options.alpha,
                    borders=options.borders,
                )
            )  # fmt: skip
            areas = _mean_areas(result.areas)
            endings = tuple(sorted(each.name[len(stem) :] for each in (result.areas, result.video)))
        return _done_row(unit, endings, 'video', (0, 0), areas)

    def _on_model(self, call: Callable[[], Result]) -> Result:
        """Make a call in the model's thread."""
        return self._model.submit(call).result()


class _Copy:
    """A copy of a remote file, or what stands in for it, which is removed when nobody holds it any more."""

    def __init__(self, address: str, fetch: Callable[[str, Path], Path]) -> None:
        self.address = address
        folder = tempfile.mkdtemp(prefix='swinseg-')
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = fetch(address, Path(folder))


def failed_row(unit: Unit, error: str) -> Row:
    """Return the row of an input that cannot be segmented, for one sentence."""
    return Row(unit.address, FAILED, error=error, attempts=unit.attempts, finished=time.time())


def _done_row(
    unit: Unit,
    endings: tuple[str, ...],
    kind: str,
    shape: tuple[int, int],
    areas: Mapping[str, float],
) -> Row:
    return Row(
        unit.address, DONE, output=unit.name, files=endings, kind=kind, height=int(shape[0]),
        width=int(shape[1]), classes=tuple(areas.items()),
    )  # fmt: skip


def _load(setup: Setup, device: str) -> Predictor:
    arguments = argparse.Namespace(**{**setup.model, 'device': device, 'threads': setup.threads})
    with fixed_kernels(setup.kernels):
        predictor = predictor_of(arguments)
    if setup.color_blind:
        predictor.palette = color_blind_palette(len(predictor.classes))
    return predictor


def _mean_areas(path: Path) -> dict[str, float]:
    """Return the mean share of each class that a video shows, the largest first."""
    with open(path, newline='', encoding='utf-8') as file:
        lines = csv.reader(file)
        names = next(lines)[2:]
        totals, count = [0.0] * len(names), 0
        for line in lines:
            count += 1
            for place, share in enumerate(line[2:]):
                totals[place] += float(share)
    means = {name: total / max(count, 1) for name, total in zip(names, totals, strict=True)}
    return {name: share for name, share in sorted(means.items(), key=lambda e: -e[1]) if share}


def _is_of_a_name(error: OutputError) -> bool:
    """Whether results cannot be written for the names that this input gives them."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _ERRNOS_OF_A_NAME


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:200]}' if lines else type(error).__name__
