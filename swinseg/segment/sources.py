"""Finding the images and videos that a command line names, and naming their results."""

from __future__ import annotations

import glob
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swinseg.datasets.files.images import IMAGE_SUFFIXES, local_path
from swinseg.errors import UserError
from swinseg.files import NAME_BYTES, fitted_name, is_partial, short_checksum
from swinseg.output_record import RECORD_FILE, OutputRecord, real_path
from swinseg.raster.formats import VRT_SUFFIX, driver_of
from swinseg.segment.sidecars import is_sidecar
from swinseg.segment.videos.files import VIDEO_SUFFIXES, is_video

_RASTER_SUFFIXES = ('.img',)
_ARRAY_SUFFIXES = ('.npy', '.npz')
SUFFIXES = (*IMAGE_SUFFIXES, *_RASTER_SUFFIXES, *VIDEO_SUFFIXES)
"""Of the files that are looked for in folders."""

# Of videos and of other things, such as programs and disks.
_AMBIGUOUS_SUFFIXES = ('', '.ts', '.img')

LONGEST_NAME = NAME_BYTES - len('._confidence.tif.partial.labels')
"""Bytes of a name to which every ending can be put, those of unfinished scenes as well."""


class InputError(UserError):
    """No image or video is where the user said."""


@dataclass(frozen=True)
class Source:
    """An image or video to segment and the name of its results.

    Attributes:
        path: the file.
        name: relative path without suffix; results are ``<out>/<name>_labels.png`` and so on.
        renamed: whether the name has a checksum in it, for it was too long or another one's but for case.
    """

    path: Path
    name: str
    renamed: bool = False


def find_sources(inputs: Sequence[str | os.PathLike[str]], *, out: Path) -> list[Source]:
    """Turn files, folders and globs into images, videos and the names of their results.

    Folders are searched with their sub-folders for the known suffixes, and for videos without one, leaving aside
    what earlier calls wrote there, and keep their sub-folders in the names; files are named by their stem. A VRT,
    which may name any other file, is not searched for. An ``.npy`` file in a folder is taken where it is a picture
    of (height, width, 3) uint8; of other arrays, which may be features, a warning says that they are left aside.
    What belongs to other files or to a folder, such as ``a.tif.aux.xml``, ``a.tfw`` and ``__MACOSX``, is passed
    over, also where a shell has named it. When two would get the same name, all of them keep their folders below
    the deepest one that they share, and the suffix where that is not enough. Names count as the same where a file
    system may take them so: without regard to case and to the form of accents. What still differs by these only
    gets a checksum, as ``a.jpg~1f3a99c0``, and so does a name that is too long for a file.

    Args:
        inputs: paths, addresses ``file://...`` of such, and globs (``**`` goes through sub-folders). A file is
            taken whatever its suffix.
        out: where results are written.

    Returns:
        Each file once, in the order of the inputs. A path that does not exist is among them when
        others do: reading it says so.

    Raises:
        InputError: nothing at all was found.
    """
    record = OutputRecord(out)
    found: dict[str, Source] = {}
    for item in inputs:
        for source in _expand(local_path(os.fspath(item)), record):
            found.setdefault(real_path(source.path), source)
    if not any(os.path.isfile(path) for path in found):
        listed = ', '.join(os.fspath(item) for item in inputs)
        raise InputError(
            f'no image or video was found in {listed}; give files, folders or quoted globs '
            f'(suffixes looked for in folders: {" ".join(SUFFIXES)})'
        )
    return _with_unique_names(list(found.values()))


def _expand(item: str, record: OutputRecord) -> Iterable[Source]:
    # Not Path's own questions, which raise for a name that is too long for any file.
    if os.path.isdir(item):
        return _in_folder(Path(item), record)
    if os.path.exists(item) or not glob.has_magic(item):
        return [] if is_sidecar(os.path.basename(item)) else [_named_by_stem(item)]
    sources: list[Source] = []
    for match in sorted(glob.glob(item, recursive=True)):
        # "**" matches folders as well as what is in them; a folder matched by name is searched.
        if os.path.isfile(match):
            names_vrt = not match.lower().endswith(VRT_SUFFIX) or item.lower().endswith(VRT_SUFFIX)
            if names_vrt and not is_sidecar(match) and not _is_of_earlier_call(match, record):
                sources.append(_named_by_stem(match))
        elif not item.endswith('**'):
            sources.extend(_in_folder(Path(match), record))
    return sources


def _named_by_stem(path: str) -> Source:
    return Source(Path(path), Path(path).stem)


def _in_folder(folder: Path, record: OutputRecord) -> list[Source]:
    paths = sorted(folder.rglob('*'))
    # Results for which another --out was given are known by the record of that.
    below = [OutputRecord(path.parent) for path in paths if path.name == RECORD_FILE]
    records = [record, *(each for each in below if each.folder != record.folder)]
    chosen = [
        path
        for path in paths
        if is_looked_for(path, path.relative_to(folder))
        and not any(_is_of_earlier_call(path, each) for each in records)
    ]
    arrays = [path for path in chosen if path.suffix.lower() in _ARRAY_SUFFIXES]
    left_aside = {path: kind for path in arrays if (kind := other_array(path)) is not None}
    if left_aside:
        first, kind = next(iter(left_aside.items()))
        warnings.warn(
            f'{len(left_aside)} of the arrays in {folder} are left aside, being no (height, width, 3) uint8 '
            f'pictures: the first, {first.name}, is {kind}; name them, or quote a glob, if they are images',
            stacklevel=2,
        )
    return [
        Source(path, path.relative_to(folder).with_suffix('').as_posix())
        for path in chosen
        if path not in left_aside
    ]


def other_array(path: Path) -> str | None:
    """Return what a file of arrays is that is no picture, or None where it is one."""
    if path.suffix.lower() != '.npy':
        return 'an archive of arrays'
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return 'damaged'
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size:
        return None
    return f'{array.shape} {array.dtype}'


def is_looked_for(path: Path, relative: Path) -> bool:
    """Whether a file in a folder is an image or a video, by its name or, where that tells little, its content."""
    suffix = path.suffix.lower()
    if (
        suffix not in (*SUFFIXES, *_AMBIGUOUS_SUFFIXES, *_ARRAY_SUFFIXES)
        or is_sidecar(relative)
        or not path.is_file()
    ):
        return False
    if suffix not in _AMBIGUOUS_SUFFIXES:
        return True
    return is_video(path) or (suffix in _RASTER_SUFFIXES and driver_of(path) is not None)


def _is_of_earlier_call(path: str | os.PathLike[str], record: OutputRecord) -> bool:
    """Whether a file that was found, not named, is a result or what a kill has left of one, and so no input."""
    return record.holds(path) and (is_partial(path) or record.is_result(path))


def folded(name: str) -> str:
    """Return what is equal for names that one of the common file systems takes for the same.

    They ignore case, and how accents are composed (caseless matching of canonical equivalents, Unicode 3.13,
    D145); Windows also ignores dots and spaces at the end.
    """
    if name.isascii():
        plain = name.lower()
    else:
        plain = unicodedata.normalize('NFD', unicodedata.normalize('NFD', name).casefold())
    return '/'.join(part.rstrip(' .') or part for part in plain.split('/'))


def _with_unique_names(sources: list[Source]) -> list[Source]:
    names = [source.name for source in sources]
    tagged: set[int] = set()
    if any(True for _ in _same(names)):
        absolute = [Path(os.path.abspath(source.path)) for source in sources]
        shared = Path(os.path.commonpath([path.parent for path in absolute]))
        relative = [path.relative_to(shared) for path in absolute]
        full = [path.as_posix() for path in relative]
        names = [path.with_suffix('').as_posix() for path in relative]
        # A name with its suffix may be another one's without.
        while clashing := [i for i in _same(names) if names[i] != full[i]]:
            for i in clashing:
                names[i] = full[i]
        tagged.update(_same(names))
        for i in tagged:
            names[i] = f'{full[i]}~{short_checksum(full[i])}'
    fitted = [_fitted(name) for name in names]
    return [
        Source(source.path, new, renamed=i in tagged or new != name)
        for i, (source, name, new) in enumerate(zip(sources, names, fitted, strict=True))
    ]


def _same(names: Sequence[str]) -> Iterator[int]:
    """Yield the positions of names that are those of others too."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        positions[folded(name)].append(position)
    for group in positions.values():
        if len(group) > 1:
            yield from group


def _fitted(name: str) -> str:
    folder, slash, last = name.rpartition('/')
    return f'{folder}{slash}{fitted_name(last, LONGEST_NAME)}'
