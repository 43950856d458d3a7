"""Finding the images and videos that a command line names, and naming their results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swinseg.datasets.image_files import IMAGE_SUFFIXES
from swinseg.errors import UserError
from swinseg.segment.video_files import VIDEO_SUFFIXES

_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)


class InputError(UserError):
    """No image or video is where the user said."""


@dataclass(frozen=True)
class Source:
    """An image or video to segment and the name of its results.

    Attributes:
        path: the file.
        name: relative path without suffix; results are ``<out>/<name>_labels.png`` and so on.
    """

    path: Path
    name: str


def find_sources(inputs: Sequence[str | os.PathLike[str]], *, out: Path) -> list[Source]:
    """Turn files, folders and globs into images, videos and the names of their results.

    Folders are searched with their sub-folders for the known suffixes, leaving ``out`` aside,
    and keep their sub-folders in the names; files are named by their stem. When two would
    get the same name, all of them keep their folders below the deepest one that they share, and the
    suffix where that is not enough.

    Args:
        inputs: paths and globs (``**`` goes through sub-folders). A file is taken whatever its
            suffix.
        out: where results are written.

    Returns:
        Each file once, in the order of the inputs. A path that does not exist is among them when
        others do: reading it says so.

    Raises:
        InputError: nothing at all was found.
    """
    found: dict[Path, Source] = {}
    for item in inputs:
        for source in _expand(os.fspath(item), out.absolute()):
            found.setdefault(source.path.absolute(), source)
    if not any(path.is_file() for path in found):
        listed = ', '.join(os.fspath(item) for item in inputs)
        raise InputError(
            f'no image or video was found in {listed}; give files, folders or quoted globs '
            f'(suffixes looked for in folders: {" ".join(_SUFFIXES)})'
        )
    return _with_unique_names(list(found.values()))


def _expand(item: str, out: Path) -> Iterable[Source]:
    path = Path(item)
    if path.is_dir():
        return _in_folder(path, out)
    if path.exists() or not glob.has_magic(item):
        return [Source(path, path.stem)]
    sources: list[Source] = []
    for match in sorted(glob.glob(item, recursive=True)):
        # "**" matches folders as well as what is in them; a folder matched by name is searched.
        if Path(match).is_file():
            sources.append(Source(Path(match), Path(match).stem))
        elif not item.endswith('**'):
            sources.extend(_in_folder(Path(match), out))
    return sources


def _in_folder(folder: Path, out: Path) -> list[Source]:
    return [
        Source(path, path.relative_to(folder).with_suffix('').as_posix())
        for path in sorted(folder.rglob('*'))
        # Results of an earlier call are no input of this one.
        if path.suffix.lower() in _SUFFIXES
        and path.is_file()
        and not path.absolute().is_relative_to(out)
    ]


def _with_unique_names(sources: list[Source]) -> list[Source]:
    if len({source.name for source in sources}) == len(sources):
        return sources
    absolute = [source.path.absolute() for source in sources]
    shared = Path(os.path.commonpath([path.parent for path in absolute]))
    relative = [path.relative_to(shared) for path in absolute]
    stems = [path.with_suffix('').as_posix() for path in relative]
    count = Counter(stems)
    return [
        Source(source.path, stem if count[stem] == 1 else path.as_posix())
        for source, stem, path in zip(sources, stems, relative, strict=True)
    ]
