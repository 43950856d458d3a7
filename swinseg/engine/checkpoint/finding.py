"""Finding the checkpoints of a work directory, and the newest that can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from swinseg.checkpoints import CheckpointError, read_checkpoint

_BY_ITERATION = re.compile(r'iter_([0-9]+)()\.pth')


_BY_EPOCH = re.compile(r'epoch_([0-9]+)(?:_iter_([0-9]+))?\.pth')


def checkpoints_in(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints that a training in ``work_dir`` could be resumed from, the newest first.

    That is what ``last_checkpoint`` names, then the others by their iteration or epoch. Where there are both, from
    a training that was changed from one to the other, the kind of the file that was written last comes first.

    Raises:
        CheckpointError: there are none.
    """
    folder = Path(work_dir)
    kinds = [_numbered(folder, pattern) for pattern in (_BY_ITERATION, _BY_EPOCH)]
    kinds = sorted(filter(None, kinds), key=lambda paths: -max(map(_written_at, paths)))
    newest_first = [path for paths in kinds for path in paths]
    named = _named_last(folder)
    if named is not None:
        newest_first = [named, *(path for path in newest_first if path != named)]
    if not newest_first:
        raise CheckpointError(
            f'there is no checkpoint to resume from in {folder}; leave --resume out, name a file, or let '
            '--resume=auto begin anew where there is none'
        )
    return newest_first


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the files of a folder whose names match, the highest numbers first."""
    numbers = {
        path: (int(match[1]), int(match[2] or 0))
        for path in folder.glob('*.pth')
        if (match := pattern.fullmatch(path.name))
    }
    return sorted(numbers, key=lambda path: numbers[path], reverse=True)


def _written_at(path: Path) -> float:
    return path.stat().st_mtime


def has_checkpoint(work_dir: str | Path) -> bool:
    """Whether ``work_dir`` holds anything that a training could be resumed from."""
    try:
        return bool(checkpoints_in(work_dir))
    except CheckpointError:
        return False


def read_newest(work_dir: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read the newest checkpoint that is whole, and warn of those that are not.

    Returns:
        Its path, and what it holds.

    Raises:
        CheckpointError: there is none, or none of them can be read.
    """
    broken: list[str] = []
    for path in checkpoints_in(work_dir):
        try:
            content = read_checkpoint(path)
        except CheckpointError as error:
            broken.append(str(error))
            continue
        for reason in broken:
            print_log(f'{reason}; going on from {path.name}', logger='current', level=30)
        return path, content
    raise CheckpointError(f'none of the checkpoints in {work_dir} is whole: {"; ".join(broken)}')


def _named_last(folder: Path) -> Path | None:
    # The file names an absolute path, which is wrong when the folder was moved, and is empty after a kill
    # at the wrong moment.
    try:
        name = Path((folder / 'last_checkpoint').read_text(encoding='utf-8').strip()).name
    except (OSError, UnicodeDecodeError):
        return None
    return folder / name if name and (folder / name).is_file() else None
