"""Files that lie beside images and are none: what other programs and systems leave in a folder."""

from __future__ import annotations

import os
from pathlib import PurePath

_ENDINGS = (
    # GDAL's statistics, overviews and masks, and world files.
    '.aux.xml', '.ovr', '.msk', '.rrd', '.tfw', '.tifw', '.tiffw', '.jgw', '.jpgw', '.jpegw', '.pgw', '.pngw',
    '.bpw', '.gfw', '.j2w', '.wld', '.prj', '.xmp',
)  # fmt: skip
_NAMES = ('thumbs.db', 'desktop.ini', '.ds_store')
_FOLDERS = ('__macosx', '.ipynb_checkpoints', '@eadir')
_APPLE_DOUBLE = '._'


def is_sidecar(path: str | os.PathLike[str]) -> bool:
    """Whether a file belongs to another one or to a folder, by its name and the folders that it names.

    Args:
        path: relative to the folder that is searched, or as the user named it.
    """
    *folders, name = [part.lower() for part in PurePath(path).parts] or ['']
    return (
        name.startswith(_APPLE_DOUBLE)
        or name in _NAMES
        or name.endswith(_ENDINGS)
        or any(folder in _FOLDERS for folder in folders)
    )
