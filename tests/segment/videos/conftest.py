"""Both libraries, where the machine has both."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an import of PyAV fail as where it is not installed."""
    for name in [name for name in sys.modules if name.split('.')[0] == 'av']:
        monkeypatch.delitem(sys.modules, name)
    for name in ('pyav', 'sound', 'inputs'):
        monkeypatch.delitem(sys.modules, f'swinseg.segment.videos.{name}', raising=False)
    monkeypatch.setitem(sys.modules, 'av', None)


@pytest.fixture(params=['PyAV', 'OpenCV'])
def library(request: pytest.FixtureRequest) -> str:
    """Read and write videos by each library; its name."""
    if request.param == 'OpenCV':
        request.getfixturevalue('without_pyav')
    else:
        pytest.importorskip('av', reason='PyAV is not installed')
    return str(request.param)
