"""Top-level variables of a config that look as if they were read, and change nothing.

A base file has put their values where they are read, such as ``train_pipeline`` into the data loader. A config
that inherits it and gives the variable another value, or an option that does, leaves what was put there.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config

from swinseg.config.checking import READ_TOP_LEVEL, dotted
from swinseg.config.list_items import named_key
from swinseg.config.references import names_referred_to, referred_variables
from swinseg.errors import ConfigError

KeyPath = tuple[str | int, ...]

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# The variables that are customary in mmseg's configs: where what they stand for is read, as first and last keys.
_READ_AT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    'crop_size': (('train_dataloader', 'model'), ('crop_size', 'size')),
    'data_preprocessor': (('model',), ('data_preprocessor',)),
    'data_root': (_LOADERS, ('data_root',)),
    'dataset_type': (_LOADERS, ('dataset', 'type')),
    'img_ratios': (('tta_pipeline',), ('scale_factor', 'scale')),
    'norm_cfg': (('model',), ('norm_cfg',)),
    'test_pipeline': (('val_dataloader', 'test_dataloader'), ('pipeline',)),
    'train_pipeline': (('train_dataloader',), ('pipeline',)),
    'vis_backends': (('visualizer',), ('vis_backends',)),
}
# What is read under its own name alone.
_READ = READ_TOP_LEVEL - _READ_AT.keys()
_MOST_SHOWN = 3


@dataclass(frozen=True)
class _Source:
    """What a config file gives names to, and which of them it uses itself."""

    assigned: frozenset[str]
    used: frozenset[str]
    bases: tuple[Path, ...]


def check_variables(path: Path, *, options: Iterable[str] = ()) -> None:
    """Look for variables whose new value reaches nothing.

    A variable of an author's own that no base has used may have any name.

    Args:
        path: of a config that can be read.
        options: the keys of options that change it.

    Raises:
        ConfigError: a file of the config, or an option, sets one; the message has the keys to set.
    """
    sources = dict(_sources(path))
    for file, source in sources.items():
        _check_file(file, source, sources)
    used = frozenset[str]().union(*(source.used for source in sources.values()))
    changed = [option for option in options if _is_variable(option.partition('.')[0])]
    content = Config.fromfile(path).to_dict() if changed else {}
    for option in changed:
        name, _, rest = named_key(content, option).partition('.')
        if name == 'data_root' or not (name in used & content.keys() or name in _READ_AT):
            continue
        if name in referred_variables(content, within=_READ):
            continue
        places = _spread(name, content) or _customary(name, content)
        keys = [named_key(content, f'{place}.{rest}' if rest else place) for place in places]
        if keys or name in content:
            raise ConfigError(
                f'--cfg-options {option} would change nothing, for {name} itself is not read: set '
                + (_listed(keys) if keys else 'the keys that the config makes of it')
            )


def _check_file(file: Path, source: _Source, sources: Mapping[Path, _Source]) -> None:
    names = [name for name in source.assigned - source.used if _is_variable(name)]
    # One without bases may be one that mmengine has written, with variables that have done their work.
    if not names or not source.bases:
        return
    content = Config.fromfile(file).to_dict()
    base: dict[str, Any] = {}
    for each in source.bases:
        base.update(Config.fromfile(each).to_dict())
    used_below = frozenset[str]().union(*_used_by(source.bases, sources))
    referred = referred_variables(content, within=_READ)
    for name in sorted(name for name in names if name not in referred):
        if (
            name in base
            and content.get(name) != base[name]
            and (name in used_below or name in _READ_AT)
        ):
            places = _spread(name, base) or _customary(name, base)
            if not places and name in used_below:
                raise ConfigError(
                    f'{name} in {file} is set and not used there, so it changes nothing: set the keys that '
                    f'{_listed([str(each) for each in source.bases])} makes of it'
                )
        elif name in _READ_AT and name not in base:
            places = _customary(name, content)
        else:
            continue
        unchanged = [
            place for place in places if _at(content, place.split('.')) != content.get(name)
        ]
        if unchanged:
            raise ConfigError(
                f'{name} in {file} is set and not used there, so it changes nothing: set '
                f'{_listed([named_key(content, place) for place in unchanged])}'
                f'{_example(unchanged[0], name)}'
            )


def _used_by(bases: Iterable[Path], sources: Mapping[Path, _Source]) -> Iterator[frozenset[str]]:
    for base in bases:
        if base in sources:
            yield sources[base].used
            yield from _used_by(sources[base].bases, sources)


def _is_variable(name: str) -> bool:
    return (name not in READ_TOP_LEVEL and not name.startswith('_')) or name in _READ_AT


def _spread(name: str, content: Mapping[str, Any]) -> list[str]:
    """Return the places that have the value of a variable, as far as that is no coincidence."""
    value = content.get(name)
    is_telling = isinstance(value, (str, list, tuple, dict)) and bool(value)
    return [
        dotted(place)
        for place, found in _walk(content)
        if found == value and type(found) is type(value) and (is_telling or str(place[-1]) in name)
    ]


def _customary(name: str, content: Mapping[str, Any]) -> list[str]:
    tops, lasts = _READ_AT.get(name, ((), ()))
    places = [place for place, _ in _walk(content) if place[0] in tops and place[-1] in lasts]
    if name == 'dataset_type':
        places = [place for place in places if place[-2:] == lasts]
    return [dotted(place) for place in places]


def _walk(content: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Yield what is built of a config, outermost first, with its places."""
    waiting: list[tuple[KeyPath, Any]] = [
        ((key,), value) for key, value in content.items() if key in READ_TOP_LEVEL
    ]
    while waiting:
        place, node = waiting.pop(0)
        if len(place) > 1:
            yield place, node
        if isinstance(node, dict):
            waiting += [((*place, key), value) for key, value in node.items()]
        elif isinstance(node, (list, tuple)):
            waiting += [((*place, index), value) for index, value in enumerate(node)]


def _at(content: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        try:
            content = content[int(part) if isinstance(content, (list, tuple)) else part]
        except (IndexError, KeyError, TypeError, ValueError):
            return None
    return content


def _example(place: str, name: str) -> str:
    """Return a line that puts a variable into a place without lists."""
    top, *parts = place.split('.')
    if any(part.isdigit() for part in parts):
        return ''
    value = name
    for part in reversed(parts):
        value = f'dict({part}={value})'
    return f', as in {top} = {value}'


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _MOST_SHOWN
    shown = places if more <= 0 else [*places[:_MOST_SHOWN], f'{more} more']
    return ' and '.join(filter(None, (', '.join(shown[:-1]), shown[-1])))


def _sources(path: Path) -> Iterator[tuple[Path, _Source]]:
    """Yield a config file and all that it inherits."""
    waiting, seen = [path], set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        source = _source(file)
        yield file, source
        waiting += source.bases


def _source(file: Path) -> _Source:
    if file.suffix != '.py':
        content = mmengine.load(file)
        bases = (_base_path(file, name) for name in Config._get_base_files(str(file)))
        return _Source(frozenset(content), frozenset(), tuple(bases))
    return _parsed(file, file.read_text(encoding='utf-8'))


@functools.lru_cache(maxsize=64)
def _parsed(file: Path, text: str) -> _Source:
    # mmengine puts values in for these before Python reads the file.
    tree = ast.parse(re.sub(r'\{\{.*?\}\}', 'None', text))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {name.id for name in names if isinstance(name.ctx, ast.Load)}
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    used.update(*(names_referred_to(text) for text in texts if isinstance(text, str)))
    return _Source(frozenset(_assigned(tree.body)), frozenset(used), tuple(_bases(file, tree)))


def _assigned(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
            targets = [statement.target]
        else:
            for block in ('body', 'orelse'):
                if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                    yield from _assigned(getattr(statement, block, ()))
            continue
        for target in targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _bases(file: Path, tree: ast.Module) -> Iterator[Path]:
    if '_base_' in _assigned(tree.body):
        yield from (_base_path(file, name) for name in Config._get_base_files(str(file)))
    for node in tree.body:
        if isinstance(node, ast.With) and 'read_base' in ast.dump(node.items[0]):
            imports = (each for each in node.body if isinstance(each, ast.ImportFrom))
            yield from filter(None, (_imported(file, each) for each in imports))


def _base_path(file: Path, name: str) -> Path:
    return Path(Config._get_cfg_path(name, str(file))[0])


def _imported(file: Path, node: ast.ImportFrom) -> Path | None:
    """Return the file that a lazy config imports as its base."""
    if not node.level:
        spec = importlib.util.find_spec(node.module or '')
        return Path(spec.origin) if spec and spec.origin else None
    folder = file.parents[node.level - 1]
    found = folder.joinpath(*(node.module or '').split('.')).with_suffix('.py')
    return found if found.is_file() else None
