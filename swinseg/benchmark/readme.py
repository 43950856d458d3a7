"""The tables of ``benchmarks/README.md``, rendered from the JSON files beside it.

A person writes the prose; what stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->`` is replaced by
the tables of ``NAME.json``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from swinseg.benchmark.report import as_markdown, environment_line
from swinseg.benchmark.results import load
from swinseg.errors import BenchmarkError
from swinseg.files import write_text

_BLOCK = re.compile(r'(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)', re.S)
_BEGIN = re.compile(r'<!-- begin: (\w+) -->')
NOT_MEASURED = 'Not measured yet.'


def render_readme(path: str | os.PathLike[str]) -> None:
    """Replace the tables between the markers of a Markdown file, in place.

    Raises:
        BenchmarkError: a marker has no end, or a file beside it is no result.
        OutputError: the file cannot be written.
    """
    page = Path(path)
    write_text(page, rendered(page.read_text(encoding='utf-8'), page.parent))


def rendered(text: str, folder: Path) -> str:
    """Return Markdown with the tables of the JSON files in ``folder`` between its markers."""
    closed = [match.group(2) for match in _BLOCK.finditer(text)]
    for name in _BEGIN.findall(text):
        if name not in closed:
            raise BenchmarkError(
                f'the marker <!-- begin: {name} --> has no end; add <!-- end: {name} --> below it'
            )
    return _BLOCK.sub(lambda match: match[1] + _tables(folder, match[2]) + match[3], text)


def _tables(folder: Path, name: str) -> str:
    file = folder / f'{name}.json'
    if not file.is_file():
        return f'\n{NOT_MEASURED}\n\n'
    result = load(file)
    picture = file.with_suffix('.png')
    parts = [as_markdown(table) for table in result.tables]
    parts.append(f'<sub>{environment_line(result)}</sub>')
    if picture.is_file():
        parts.insert(0, f'![{name}]({picture.name})')
    return '\n' + '\n\n'.join(parts) + '\n\n'
