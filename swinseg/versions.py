"""The version of this package, which everything else reads, and those of the packages that are installed.

It is a literal, so that setuptools reads it without importing PyTorch (``pyproject.toml``).
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable

__version__ = '0.1.0'


def installed_version(package: str) -> str | None:
    """Return the version of an installed distribution, or None; of one that runs, what its code says.

    The metadata of a wheel may say less: PyTorch's is 2.13.0 where the code is 2.13.0+cu130.
    """
    if package == 'swinseg':
        return __version__
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    own = getattr(sys.modules.get(package), '__version__', None)
    return str(own) if isinstance(own, str) else found


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed, in the order in which they are named."""
    found = {name: installed_version(name) for name in packages}
    return {name: version for name, version in found.items() if version is not None}


def has_cpp_compiler() -> bool:
    """Return whether PyTorch finds a C++ compiler, which compiled models for a processor need."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
