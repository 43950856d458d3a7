"""Archives that stay in their folder."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from swinseg.downloads import Progress
from swinseg.errors import PrepareError
from swinseg.files import zip_errors_as


def unpack_zip(
    archive: Path,
    folder: Path,
    *,
    most_bytes: int,
    most_files: int,
    progress: Progress = lambda done, total: None,
) -> None:
    """Unpack a zip archive whose entries are plain files inside ``folder``, and no more than expected.

    Args:
        archive: the file.
        folder: an empty one.
        most_bytes: of all files together, unpacked.
        most_files: entries.
        progress: called with the bytes written.

    Raises:
        PrepareError: the archive is damaged, an entry leads out of the folder or is a link, or there is more
            than expected; nothing of an archive with such entries is unpacked.
    """

    def told(error: Exception) -> PrepareError:
        return PrepareError(f'{archive} is damaged or no zip archive: {error}; get it again')

    with zip_errors_as(told), zipfile.ZipFile(archive) as content:
        entries = content.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > most_files or total > most_bytes:
            raise PrepareError(
                f'{archive} has {len(entries)} entries of {total} bytes, expected {most_files} and '
                f'{most_bytes} at most; it is not the archive that is meant'
            )
        for entry in entries:
            _check_entry(entry, archive)
        done = 0
        for entry in entries:
            # It reads no more than the size that was counted, and compares the CRC.
            content.extract(entry, folder)
            done += entry.file_size
            progress(done, total)


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    # What backslashes mean depends on the system that unpacks.
    name = PurePosixPath(entry.filename.replace('\\', '/'))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or '..' in name.parts or ':' in entry.filename or is_link:
        raise PrepareError(
            f'{archive} has the entry {entry.filename!r}, a link or a name that leads out of its folder; '
            'do not use this archive'
        )
