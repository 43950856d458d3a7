"""The folder of an exported dataset, for which a user may name its zip archive, or a file in it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from swinseg.datasets.prepare.source import split_of_folder
from swinseg.datasets.prepare.unpack import unpack_zip
from swinseg.files import make_folder

# Which lie in the folder that the layouts take, or in that of a split.
_FILES_INSIDE = ('annotations.xml', 'labelmap.txt', 'meta.json', '_classes.csv')
# Masks and text are deflated to little, but not to a hundredth.
_MOST_GROWTH = 100
_MOST_BYTES_OF_A_SMALL_ONE = 2**30
_MOST_FILES = 2_000_000


@contextlib.contextmanager
def exported_folder(
    given: str | os.PathLike[str], *, out: str | os.PathLike[str]
) -> Iterator[str | os.PathLike[str]]:
    """Give the folder of a dataset in the block.

    Args:
        given: the folder; or a zip archive of it, which is unpacked beside ``out`` for the block; or a file that
            lies in it, such as ``annotations.xml``. Anything else is given back as it is.
        out: where the dataset is written.

    Raises:
        PrepareError: the archive is damaged, or has entries that lead out of its folder.
        OutputError: nothing can be written beside ``out``.
    """
    path = Path(given)
    if not path.is_file():
        yield given
    elif zipfile.is_zipfile(path):
        parent = make_folder(Path(out).resolve().parent)
        with tempfile.TemporaryDirectory(prefix='.unpacked-', dir=parent) as folder:
            most_bytes = max(_MOST_GROWTH * path.stat().st_size, _MOST_BYTES_OF_A_SMALL_ONE)
            unpack_zip(path, Path(folder), most_bytes=most_bytes, most_files=_MOST_FILES)
            yield _only_folder(Path(folder))
    elif path.name.lower() in _FILES_INSIDE:
        is_of_split = split_of_folder(path.resolve().parent.name) is not None
        yield path.parent.parent if is_of_split else path.parent
    else:
        yield given


def _only_folder(folder: Path) -> Path:
    """Return the one folder in another one, in which many archives have everything, or that one itself."""
    inside = [each for each in folder.iterdir() if each.name != '__MACOSX']
    if len(inside) == 1 and inside[0].is_dir() and split_of_folder(inside[0].name) is None:
        return inside[0]
    return folder
