"""Files on their way to their names: what is in their place, whether there is room, where they are written."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from swinseg.errors import ExportError
from swinseg.exporting.targets import Target
from swinseg.files import OutputError, atomic_path

# A graph is written twice before it has its name; beside its weights it has less than this.
_COPIES, _GRAPH_BYTES = 2, 2**24


def checked_path(out: str | os.PathLike[str], target: Target, *, overwrite: bool) -> Path:
    """Return the path of an exported file, in whose place and beside which nothing is.

    Raises:
        ExportError: it has not the suffix of its target.
        OutputError: something is there already.
    """
    path = Path(out)
    if path.suffix != target.suffix:
        raise ExportError(
            f'a file for {target.runtime_name} must end in {target.suffix}, found {path.name!r}; name it '
            f'{path.stem}{target.suffix}'
        )
    companions = [] if target.companion is None else [target.companion(path)]
    there = [str(each) for each in (path, *companions, receipt_of(path)) if each.exists()]
    if there and not overwrite:
        raise OutputError(
            f'{there[0]} is there already; name another file, or replace it with overwrite (--overwrite)'
        )
    return path


def receipt_of(path: Path) -> Path:
    """Return where the receipt of an exported file is."""
    return path.with_name(f'{path.name}.json')


def check_room(graph: nn.Module, path: Path) -> None:
    """Make sure that a graph can be written.

    Raises:
        OutputError: the disk has not enough room.
    """
    weights = sum(each.numel() * each.element_size() for each in graph.state_dict().values())
    needed = _COPIES * (weights + _GRAPH_BYTES)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OutputError(
            f'cannot write {path}: {needed / 2**20:,.0f} MiB are needed while it is made, {free / 2**20:,.0f} MiB '
            'are free; make room, or name another folder'
        )


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` that is gone after the block, and say in one sentence that a disk is full."""
    try:
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix='.export', suffix='.partial'
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(
            f'cannot write {path}: {error.strerror or error}; make room, or name another folder'
        ) from error


def move(staged: Path, final: Path) -> None:
    """Give a file that is whole its name."""
    with atomic_path(final) as temporary:
        os.replace(staged, temporary)
