"""The classes that a config names, in the registries, and those that it has in the place of names."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import Registry

from swinseg.errors import ConfigError
from swinseg.type_names import import_path


@functools.cache
def registries() -> dict[str, Registry]:
    """Return the registries of mmseg and mmengine by their names, with all that they register."""
    found = {}
    for module in (mmengine.registry, mmseg.registry):
        for name, value in vars(module).items():
            if isinstance(value, Registry):
                value.import_from_location()
                found[name] = value
    return found


def names_in(registry: Registry | None) -> Iterator[str]:
    """Yield the names that a registry and its parents know."""
    while registry is not None:
        yield from registry.module_dict
        registry = registry.parent


def find_type(kind: Any, registry_name: str | None) -> Any:
    """Return what ``type=kind`` stands for, or None. The place's own registry is asked first, then the others."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    known = registries()
    order = [registry_name] if registry_name in known else []
    for name in (*order, *known):
        registry: Registry | None = known[name]
        while registry is not None:
            if kind in registry.module_dict:
                return registry.module_dict[kind]
            registry = registry.parent
    if '.' in kind:
        # "scope.Name" of another mm package, or the import path of a class.
        return known[order[0] if order else 'MODELS'].get(kind)
    return None


def spell_types(node: Any) -> None:
    """Put names in the place of the classes that dicts of a config have as their ``type``.

    mmengine builds from either, but cannot write a class into the config of a log or checkpoint.

    Args:
        node: a config, or a part of one; it is changed. A class gets the name that the registries have for it, or
            its import path.

    Raises:
        ConfigError: a class that a lazy config names cannot be imported, or one has neither a name nor a path.
    """
    content = node._cfg_dict if isinstance(node, Config) else node
    # Past ConfigDict's own methods, which import whatever a lazy config names.
    for child in list(dict.values(content)) if isinstance(content, dict) else content:
        if isinstance(child, (dict, list, tuple)):
            spell_types(child)
    kind: Any = dict.get(content, 'type') if isinstance(content, dict) else None
    if isinstance(kind, (LazyObject, LazyAttr)):
        kind = _built(kind)
    if getattr(kind, '__module__', 'builtins') == 'builtins' or not hasattr(kind, '__qualname__'):
        return
    name = _registered_name(kind) or import_path(kind)
    if '<' in name:
        raise ConfigError(
            f'type={name} is a class inside of a function, which the config of a checkpoint cannot name: register '
            'it, and give its name'
        )
    dict.__setitem__(content, 'type', name)


def _built(kind: LazyObject | LazyAttr) -> Any:
    try:
        return kind.build()
    except ImportError as error:
        raise ConfigError(
            f'type={import_path(kind)} cannot be imported: {" ".join(str(error).split())}'
        ) from error


def _registered_name(kind: Any) -> str | None:
    """Return the name that stands for a class wherever it is known, None where it stands for another one too."""
    found: dict[str, set[int]] = {}
    for registry in registries().values():
        while registry is not None:
            for name, each in registry.module_dict.items():
                found.setdefault(name, set()).add(id(each))
            registry = registry.parent
    names = [name for name, ids in found.items() if ids == {id(kind)}]
    return kind.__name__ if kind.__name__ in names else next(iter(names), None)
