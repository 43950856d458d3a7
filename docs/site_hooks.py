"""The site beyond ``docs/``: pages that lie beside it, links out of it, and roles in docstrings.

MkDocs calls the functions, mkdocstrings the class (``mkdocs.yml``).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from griffe import Extension
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
BESIDE = {
    'README.md': 'readme.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
}
"""Files of the clone that are pages of the site, and their names there."""

_LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)')
_ROLE = re.compile(r':(?:\w+:)?\w+:`([^`]+)`')


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie beside ``docs/``."""
    for source, page in BESIDE.items():
        text = (ROOT / source).read_text(encoding='utf-8')
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links to where their targets are on the site; what is only in a clone stays as text."""
    beside = {page: source for source, page in BESIDE.items()}
    source = beside.get(page.file.src_uri, f'docs/{page.file.src_uri}')
    folder = posixpath.dirname(source)

    def led(match: re.Match[str]) -> str:
        mark, text, target, anchor = match[1], match[2], match[3], match[4] or ''
        if re.match(r'\w+:', target):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        assert (ROOT / path).exists(), f'{source} links to {path}, which is not there'
        if path in BESIDE:
            return f'{mark}[{text}]({BESIDE[path]}{anchor})'
        if path.startswith('docs/'):
            return f'{mark}[{text}]({path.removeprefix("docs/")}{anchor})'
        return text

    return _LINK.sub(led, markdown)


class PlainRoles(Extension):
    """Show a name in a Sphinx role as code."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Change the docstrings of a package."""
        seen = [pkg]
        while seen:
            item = seen.pop()
            if item.docstring is not None:
                item.docstring.value = _ROLE.sub(r'`\1`', item.docstring.value)
            seen.extend(member for member in item.members.values() if not member.is_alias)
