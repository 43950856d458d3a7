"""Lines in a pipe and on a terminal."""

import io
from pathlib import Path

import pytest

from swinseg.segment.progress import Progress
from swinseg.terminal import LiveLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def show_two_files(monkeypatch, stream):
    monkeypatch.setattr(LiveLine, '_out', stream)
    monkeypatch.setenv('COLUMNS', '80')
    progress = Progress(2)
    progress.begin(Path('folder/map.tif'))
    for done in (0, 7, 14, 15, 95, 100):
        progress.step('row', done, 100)
    assert progress.at == 'row 100 of 100'
    progress.end('water 60%')
    progress.begin(Path('folder/walk.mp4'))
    progress.step('frame', 3, None)
    progress.skip('it is damaged')
    return stream.getvalue()


def test_pipe__has_a_line_for_a_tenth_and_for_a_file(monkeypatch):
    lines = show_two_files(monkeypatch, io.StringIO()).splitlines()
    assert [line.split(', left')[0] for line in lines] == [
        '[1/2] map.tif: row 14 of 100',
        '[1/2] map.tif: row 95 of 100',
        '[1/2] folder/map.tif: water 60%',
        '[2/2] folder/walk.mp4: skipped: it is damaged',
    ]


@pytest.mark.parametrize('first', [0, 50])
def test_pipe__begins_at_the_row_where_work_goes_on(monkeypatch, first):
    stream = io.StringIO()
    monkeypatch.setattr(LiveLine, '_out', stream)
    progress = Progress(1)
    progress.begin(Path('a.tif'))
    for done in range(first, 100, 10):
        progress.step('row', done, 100)
    assert len(stream.getvalue().splitlines()) == (99 - first) // 10


def test_terminal__rewrites_one_line_and_keeps_what_was_skipped(monkeypatch):
    text = show_two_files(monkeypatch, Terminal())
    assert text.startswith('\r\x1b[K[1/2] map.tif')
    assert text.count('\n') == 1
    assert text.endswith('\r\x1b[K[2/2] folder/walk.mp4: skipped: it is damaged\n')
