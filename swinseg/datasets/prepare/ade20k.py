"""ADE20K scene parsing (Zhou et al., 2017): download, unpack, and make sure that all of it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from swinseg.datasets.ade20k import ADE20K
from swinseg.datasets.prepare.layout import new_folder
from swinseg.datasets.prepare.source import PrepareError, loading
from swinseg.datasets.prepare.unpack import unpack_zip
from swinseg.downloads import Checksum, download
from swinseg.files import OutputError

ARCHIVE = 'ADEChallengeData2016'
URL = f'http://data.csail.mit.edu/places/ADEchallenge/{ARCHIVE}.zip'
# As published by other toolkits; the project itself gives none.
SHA1 = '219e1696abb36c8ba3a3afe7fb2f4b4606a897c7'
COUNTS = {'training': 20210, 'validation': 2000}

_MOST_BYTES, _MOST_FILES = 4 << 30, 100_000
# Images of each split that are read: the archive's checksums cover the rest.
_READ = 20

Progress = Callable[[str, int, int | None], None]
"""Called with what is done (``'download'``, ``'unpack'``), the bytes done and all bytes."""


def prepare_ade20k(
    out: str | os.PathLike[str],
    *,
    url: str = URL,
    sha1: str = SHA1,
    counts: Mapping[str, int] = COUNTS,
    progress: Progress = lambda what, done, total: None,
) -> str:
    """Get ADE20K in the layout of the SceneParsing challenge, which :class:`~swinseg.datasets.ADE20K` reads.

    The archive stays beside ``out``, so that a second call needs no download; a download that was interrupted
    goes on.

    Args:
        out: a folder that does not exist, or is empty; it gets its name when all is there.
        url: of the archive.
        sha1: of the archive.
        counts: images by split.
        progress: called as the work goes on.

    Returns:
        A sentence that says what is there.

    Raises:
        DownloadError: the archive cannot be downloaded, or differs.
        PrepareError: the archive is not the one that is meant, or something is missing in it.
        DataError: an image has no label, or one that was looked at is not as it should be.
        OutputError: the folder cannot be written.
    """
    folder = new_folder(out)
    archive = folder.parent / f'{ARCHIVE}.zip'
    temporary = folder.with_name(f'.{folder.name}.{os.getpid()}.partial')
    try:
        download(
            url,
            archive,
            checksum=Checksum('sha1', sha1),
            progress=lambda *done: progress('download', *done),
        )
        temporary.mkdir()
        unpack_zip(
            archive,
            temporary,
            most_bytes=_MOST_BYTES,
            most_files=_MOST_FILES,
            progress=lambda *done: progress('unpack', *done),
        )
        _verify(temporary / ARCHIVE, counts)
        os.replace(temporary / ARCHIVE, folder)
    except OSError as error:
        raise OutputError(
            f'cannot write {folder}: {error.strerror or error}; 2 GB of room are needed there'
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    found = ', '.join(f'{count} {split}' for split, count in counts.items())
    return f'{folder}: {found} images with labels; {archive} may be removed'


def _verify(root: Path, counts: Mapping[str, int]) -> None:
    for split, count in counts.items():
        dataset = ADE20K(
            data_root=str(root),
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
            pipeline=loading(),
            test_mode=True,
        )
        if len(dataset) != count:
            raise PrepareError(
                f'the archive has {len(dataset)} {split} images with labels, expected {count}; get it again'
            )
        for index in range(0, count, max(1, count // _READ)):
            dataset[index]
