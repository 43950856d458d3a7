"""The packages of the extras ``bulk`` and ``ray``, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from swinseg.errors import UserError


class BulkError(UserError):
    """A bulk job cannot begin or go on."""


def import_extra(module: str, what: str, *, extra: str = 'bulk') -> Any:
    """Return a module of a package of an extra.

    Args:
        module: such as ``'pyarrow.parquet'``.
        what: of which the package is needed, at the beginning of a sentence.
        extra: that has it.

    Raises:
        BulkError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition('.')[0]
        raise BulkError(
            f"{what} needs the package {package}, which is not installed: pip install 'swinseg[{extra}]'"
        ) from error
