"""Every line that docs/errors.md explains is one that the code can say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'errors.md').read_text(encoding='utf-8')
LINES = re.findall(r'^\| `([^`]+)` \|', PAGE, re.MULTILINE)


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a string of the source with ``…`` for what is put into it."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return ''.join(str(part.value) if isinstance(part, ast.Constant) else '…' for part in parts)


@pytest.fixture(scope='module')
def sentences() -> str:
    """What swinseg's source holds in strings, one in each line."""
    files = sorted((ROOT / 'swinseg').rglob('*.py'))
    trees = [ast.parse(path.read_text(encoding='utf-8')) for path in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    strings = [node for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)]
    return '\n'.join(_text(node).replace('\n', ' ') for node in strings)


def test_page__has_many_kinds():
    assert len(LINES) >= 40
    assert len(set(LINES)) >= len(LINES) - 1  # an image and a checkpoint may be empty


@pytest.mark.parametrize('line', LINES)
def test_line__is_one_that_the_code_says(sentences, line):
    assert line in sentences
