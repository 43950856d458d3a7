"""The files that a call writes: none is another input's, an input itself, or a file that is someone else's."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from swinseg.files import OutputError, watching
from swinseg.output_record import OutputRecord
from swinseg.predictor.segmentation import SUFFIXES
from swinseg.segment.scenes.kinds import GEOREFERENCED, why_scene
from swinseg.segment.scenes.scene import scene_endings
from swinseg.segment.sheets import TILES, sheet_name
from swinseg.segment.sources import Source, folded
from swinseg.segment.videos.video import VIDEO_ENDINGS, is_video

Problem = Callable[[], str]
"""Says it in a sentence, for which the whole record may have to be read."""

IMAGE_KINDS = ('labels', 'color', 'overlay')
"""What is written of an image; with ``confidence``, that too."""


class Results:
    """The results of sources in a folder.

    What an earlier call wrote from the same source is replaced, as when a command is given again. Any other file
    is replaced only with ``overwrite``, and an input never.

    Args:
        out: folder of the results.
        sources: from ``find_sources``.
        confidence: whether the probability of labels is written.
        has_window: whether every image is a scene.
        has_bands: whether every TIFF is one.
        sheet: whether sheets are written.
        annotations: names of files about all sources, for annotation tools.
        overwrite: whether files that are no results of the same source may be replaced.
        image_endings: of the files of an image, where they are not those of ``IMAGE_KINDS``.

    Raises:
        OutputError: there is a record of results, but it cannot be read.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        sources: Sequence[Source],
        *,
        confidence: bool = False,
        has_window: bool = False,
        has_bands: bool = False,
        sheet: bool = False,
        annotations: Sequence[str] = (),
        overwrite: bool = False,
        image_endings: Sequence[str] | None = None,
    ) -> None:
        self._own_endings = image_endings
        self._out = Path(out)
        self._sources = sources
        self._confidence = confidence
        self._has_window = has_window
        self._has_bands = has_bands
        self._sheet = sheet
        self._annotations = frozenset(annotations)
        self._overwrite = overwrite
        self._record = OutputRecord(out)
        self._source_of = {source.name: source for source in sources}
        self._files_of_inputs: set[tuple[int, int]] | None = None

    def check(self) -> None:
        """Look for everything that keeps a result from being written, before any is.

        Raises:
            OutputError: there is something; the sentence names the first and counts the others.
        """
        problems = self._problems()
        first = next(problems, None)
        if first is None:
            return
        others = sum(1 for _ in problems)
        more = f' (and {others} more of the kind)' if others else ''
        raise OutputError(f'{first()}{more}')

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Within the block, look at each result again before it gets its name, and record it.

        Raises:
            OutputError: a file would be lost.
        """
        with watching(self._out, self._before_replacing):
            yield

    def _before_replacing(self, final: Path, temporary: Path) -> None:
        source = self._source_for(final)
        name = self._source_name(source)
        if os.path.lexists(final):
            problem = self._problem(final, source, name)
            if problem is not None:
                raise OutputError(problem())
        self._record.add(final, temporary, name)

    def _problems(self) -> Iterator[Problem]:
        below = {
            folded(parent.as_posix())
            for source in self._sources
            for parent in Path(source.name).parents
        }
        listing = _Listing(self._out)
        yield from self._folders_that_are_files()
        sheets = math.ceil(len(self._sources) / TILES) if self._sheet else 0
        for name in (*map(sheet_name, range(1, sheets + 1)), *sorted(self._annotations)):
            if name in below:
                yield self._is_folder_of_others(self._out / name)
            elif listing.has(name):
                yield from self._asked(self._out / name, None)
        for source in self._sources:
            endings = self._possible_endings(source)
            for ending in endings:
                if folded(f'{source.name}{ending}') in below:
                    yield self._is_folder_of_others(self._out / f'{source.name}{ending}')
            # Only where something is there is the file looked into, for what it will really become.
            if any(listing.has(f'{source.name}{ending}') for ending in endings):
                for ending in self._endings(source):
                    if listing.has(f'{source.name}{ending}'):
                        yield from self._asked(self._out / f'{source.name}{ending}', source)

    def _asked(self, path: Path, source: Source | None) -> Iterator[Problem]:
        if os.path.lexists(path):
            problem = self._problem(path, source, self._source_name(source))
            if problem is not None:
                yield problem

    def _problem(self, path: Path, source: Source | None, name: str) -> Problem | None:
        """Return why a file that is there may not be replaced by a result, or None."""
        what = f'a result of {source.path}' if source is not None else self._of_all(path)
        if os.path.isdir(path) and not os.path.islink(path):
            return lambda: f'{path} is a folder, but {what} gets this name; choose another --out'
        if self._is_input(path):
            return lambda: f'{path} is an input, and {what} would replace it; choose another --out'
        if self._overwrite or self._record.may_replace(path, source=name):
            return None
        return lambda: (
            f'{path} is there already and {self._record.why_not(path)}, but {what} gets this name; choose another '
            '--out, or replace such files with --overwrite'
        )

    def _is_input(self, path: Path) -> bool:
        if self._files_of_inputs is None:
            self._files_of_inputs = set()
            for source in self._sources:
                with contextlib.suppress(OSError, ValueError):
                    status = os.stat(source.path)
                    self._files_of_inputs.add((status.st_dev, status.st_ino))
        with contextlib.suppress(OSError):
            status = os.stat(path)
            return (status.st_dev, status.st_ino) in self._files_of_inputs
        return False

    def _folders_that_are_files(self) -> Iterator[Problem]:
        parents = {parent for source in self._sources for parent in Path(source.name).parents}
        for parent in sorted(parents):
            folder = self._out / parent
            if os.path.lexists(folder) and not os.path.isdir(folder):
                yield partial(
                    '{} is a file, but results go into a folder of this name; choose another --out'.format,
                    folder,
                )

    def _is_folder_of_others(self, path: Path) -> Problem:
        return lambda: (
            f'{path} would be a result and a folder for results of other inputs; segment them in two calls, each '
            'with an --out of its own'
        )

    def _source_for(self, final: Path) -> Source | None:
        # The ending of every result begins with its only underscore; a sheet has none, and is of no source alone.
        name = Path(os.path.relpath(final, self._out)).as_posix()
        return None if name in self._annotations else self._source_of.get(name.rpartition('_')[0])

    def _of_all(self, path: Path) -> str:
        name = Path(os.path.relpath(path, self._out)).as_posix()
        return 'a file for annotation tools' if name in self._annotations else 'a sheet'

    def _source_name(self, source: Source | None) -> str:
        return self._source_of_all if source is None else self._record.source_name(source.path)

    @cached_property
    def _source_of_all(self) -> str:
        folders = {os.path.dirname(os.path.abspath(each.path)) for each in self._sources}
        return self._record.source_name(os.path.commonpath(map(os.path.realpath, folders)))

    def _possible_endings(self, source: Source) -> list[str]:
        if is_video(source.path):
            return list(VIDEO_ENDINGS)
        scenes = [
            scene_endings(source.path, is_georeferenced=placed, with_confidence=self._confidence)
            for placed in (False, True)
        ]
        of_scenes = (ending for scene in scenes for ending in scene.values())
        return list(dict.fromkeys([*self._image_endings(), *of_scenes]))

    def _endings(self, source: Source) -> list[str]:
        if is_video(source.path):
            return list(VIDEO_ENDINGS)
        reason = why_scene(source.path, has_window=self._has_window, has_bands=self._has_bands)
        if reason is None:
            return self._image_endings()
        is_georeferenced = why_scene(source.path) in GEOREFERENCED
        scene = scene_endings(
            source.path, is_georeferenced=is_georeferenced, with_confidence=self._confidence
        )
        return list(scene.values())

    def _image_endings(self) -> list[str]:
        if self._own_endings is not None:
            return list(self._own_endings)
        kinds = [*IMAGE_KINDS, *(['confidence'] if self._confidence else [])]
        return [SUFFIXES[kind] for kind in kinds]


class _Listing:
    """What is in a folder and those below, each of which is listed once: a million questions are few calls."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, set[str]] = {}

    def has(self, name: str) -> bool:
        """Whether there may be such a file, on whatever file system."""
        folder, _, last = name.rpartition('/')
        if folder not in self._names:
            try:
                self._names[folder] = {folded(each) for each in os.listdir(self._root / folder)}
            except OSError:
                self._names[folder] = set()
        return folded(last) in self._names[folder]
