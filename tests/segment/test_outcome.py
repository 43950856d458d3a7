"""The table and the line at the end of the work."""

from pathlib import Path

import pytest

from swinseg.segment.outcome import Done, Outcome, summary, table


def done(name='a.png', kind='image', found='road 60%'):
    return Done(Path('photos', name), kind, '480 x 640', 1.25, found)


@pytest.mark.parametrize(
    ('segmented', 'skipped', 'expected'),
    [(1, 0, '1 file segmented;'), (2, 0, '2 files segmented;'), (0, 1, '0 files segmented, 1 skipped;')],
)  # fmt: skip
def test_summary__counts_and_says_where(tmp_path, segmented, skipped, expected):
    outcome = Outcome([done()] * segmented, {Path(str(i)): 'bad' for i in range(skipped)})
    line = summary(outcome, tmp_path / 'out')
    assert line.startswith(expected)
    assert line.endswith(str(tmp_path / 'out'))


def test_table__columns_are_in_line():
    outcome = Outcome(
        [done(), done('long name.tif', 'scene (GeoTIFF)', 'sky 100%')],
        {Path('photos/b.png'): 'image b.png is empty'},
    )
    lines = table(outcome).splitlines()
    assert [line.split()[0] for line in lines] == ['file', 'a.png', 'long', 'b.png']
    at = lines[0].index('result')
    assert [line[at:] for line in lines[1:]] == ['road 60%', 'sky 100%', 'image b.png is empty']
    assert lines[1].index('480 x 640') == lines[0].index('size')
    assert lines[1][:at].rstrip().endswith('1.2')


def test_table__of_very_many_files_names_all_that_were_skipped():
    skipped = {Path(f'{i}.png'): 'bad' for i in range(70)}
    lines = table(Outcome([done()] * 53, skipped)).splitlines()
    assert len(lines) == 1 + 50 + 1 + 70
    assert lines[51] == 'and 3 more'
