"""The configs that come with swinseg: by name, with a line about each, and copied to be edited."""

from __future__ import annotations

import ast
import difflib
import os
import re
from pathlib import Path

from swinseg.errors import ConfigError
from swinseg.files import make_folder, write_text

_PACKAGE = Path(__file__).parents[1]
# The wheel has them inside the package, a clone beside it.
_FOLDERS = (_PACKAGE / 'configs', _PACKAGE.parent / 'configs')
_BASES = '_base_'


def shipped_folder() -> Path:
    """Return the folder of the shipped configs.

    Raises:
        ConfigError: swinseg was installed without them.
    """
    for folder in _FOLDERS:
        if (folder / _BASES / 'runtime.py').is_file():
            return folder
    raise ConfigError(
        f'expected the configs of swinseg in {_FOLDERS[0]}, found none; install swinseg anew, or give the path of '
        'a config of your own'
    )


def shipped_names() -> list[str]:
    """Return the names of the shipped configs, folders last: ``'ablations/upernet_swin_t_no_shift'``."""
    folder = shipped_folder()
    files = [path.relative_to(folder) for path in folder.rglob('*.py')]
    leaves = [file for file in files if _BASES not in file.parts and file.name != '__init__.py']
    return [file.with_suffix('').as_posix() for file in sorted(leaves, key=_depth_and_name)]


def _depth_and_name(file: Path) -> tuple[int, Path]:
    return len(file.parts), file


def shipped_path(name: str | os.PathLike[str]) -> Path | None:
    """Return the file of a shipped config, or None where none has this name; ``.py`` may stand at its end."""
    plain = os.fspath(name).replace(os.sep, '/').removesuffix('.py')
    try:
        return shipped_folder() / f'{plain}.py' if plain in shipped_names() else None
    except ConfigError:
        return None


def shipped_summary(name: str) -> str:
    """Return what a shipped config is, in its own words: the first sentence of the comment at its head."""
    text = (shipped_folder() / f'{name}.py').read_text(encoding='utf-8')
    lines: list[str] = []
    for line in text.splitlines():
        comment = line.removeprefix('#').strip()
        if not line.startswith('#') or not comment:
            break
        lines.append(comment)
    return re.split(r'(?<=\.) (?=[A-Z])', ' '.join(lines))[0]


def copy_shipped(
    name: str, out: str | os.PathLike[str] = '.', *, overwrite: bool = False
) -> list[Path]:
    """Copy a shipped config, and the files that it is based on, into a folder.

    Args:
        name: as :func:`shipped_names` has it.
        out: the folder, in which the files lie to one another as in swinseg's own.
        overwrite: whether files there that say something else are replaced.

    Returns:
        The copies, that of ``name`` first.

    Raises:
        ConfigError: there is no such config, or a file there says something else.
        OutputError: the folder cannot be written.
    """
    start = shipped_path(name)
    if start is None:
        raise ConfigError(f'no config {name} comes with swinseg{_nearest(name)}')
    root = shipped_folder()
    files = _with_bases(start)
    copies = [Path(out) / file.relative_to(root) for file in files]
    for file, copy in zip(files, copies, strict=True):
        if copy.exists() and not overwrite and not _same(file, copy):
            raise ConfigError(
                f'{copy} is there already and is not what swinseg ships; --out DIR copies into another folder, '
                '--overwrite replaces it'
            )
    for file, copy in zip(files, copies, strict=True):
        make_folder(copy.parent)
        write_text(copy, file.read_text(encoding='utf-8'))
    return copies


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.removesuffix('.py'), shipped_names(), n=2, cutoff=0.6)
    meant = f'did you mean {" or ".join(near)}? ' if near else ''
    return f'; {meant}swinseg configs lists those that it does'


def _same(file: Path, copy: Path) -> bool:
    return copy.is_file() and copy.read_bytes() == file.read_bytes()


def _with_bases(file: Path) -> list[Path]:
    """Return a config and all that it is based on, each once."""
    found = [file]
    for each in found:  # which grows
        found += [base for base in _bases_of(each) if base not in found]
    return found


def _bases_of(file: Path) -> list[Path]:
    for node in ast.parse(file.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == _BASES:
            bases = ast.literal_eval(node.value)
            named = [bases] if isinstance(bases, str) else bases
            return [Path(os.path.normpath(file.parent / base)) for base in named]
    return []
