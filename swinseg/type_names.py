"""The ``type`` of a config's dict, which may be a name, an import path or the class itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config.lazy import LazyAttr, LazyObject

# The packages whose classes are known by their bare names; a class of another package may be called the same.
PACKAGES = ('swinseg', 'mmseg', 'mmcv', 'mmengine')


def type_name(kind: Any) -> str:
    """Return the name by which a class is compared, without importing anything.

    Args:
        kind: ``'UPerHead'``, ``'mmseg.UPerHead'``, ``'mmseg.models.decode_heads.uper_head.UPerHead'``, the class,
            or what a lazy config has of it.

    Returns:
        ``'UPerHead'`` for all of these; of a class of another package its whole import path.
    """
    path = import_path(kind)
    package, dot, rest = path.partition('.')
    return rest.rpartition('.')[2] if dot and package in PACKAGES else path


def import_path(kind: Any) -> str:
    """Return the path from which a class, or what a lazy config has of one, is imported; a text as it is."""
    if isinstance(kind, (LazyObject, LazyAttr)):
        return f'{kind.module}.{kind}'
    if isinstance(kind, str):
        return kind
    name = getattr(kind, '__qualname__', None)
    return f'{kind.__module__}.{name}' if name else repr(kind)


def has_type(node: Any, *names: str) -> bool:
    """Whether a dict of a config has one of these classes as its ``type``."""
    return isinstance(node, Mapping) and 'type' in node and type_name(node['type']) in names
