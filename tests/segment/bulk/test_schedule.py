"""What is done next, and what becomes of units whose workers died."""

import itertools

import pytest

from swinseg.segment.bulk.inputs import Input
from swinseg.segment.bulk.manifest import DONE, FAILED, Row
from swinseg.segment.bulk.schedule import Schedule
from swinseg.segment.bulk.work import Again, BandDone, Split, Stop


def schedule(count=3, **options):
    rows = []
    inputs = (Input(f'/{i}.jpg', f'{i}.jpg') for i in range(count))
    return Schedule(inputs, on_row=rows.append, **options), rows


def done(unit):
    return Row(unit.address, DONE, output=unit.name)


def test_units__are_read_as_they_are_asked_for():
    numbers = itertools.count()
    inputs = (Input(f'/{i}.jpg', f'{i}.jpg') for i in numbers)
    found = Schedule(inputs, on_row=print)
    assert found.has_work()
    assert [found.take(is_idle=False).name for _ in range(3)] == ['0.jpg', '1.jpg', '2.jpg']
    assert next(numbers) == 3
    assert not found.is_over


def test_nothing__is_over_at_once():
    found, _ = schedule(0)
    assert not found.has_work()
    assert found.take(is_idle=True) is None
    assert found.is_over


def test_lost_units__are_tried_by_themselves_and_then_given_up():
    found, rows = schedule(2, retries=2)
    units = [found.take(is_idle=True), found.take(is_idle=False)]
    found.lost(units, 'was killed by SIGKILL')
    assert found.take(is_idle=False) is None
    for attempt in (1, 2):
        unit = found.take(is_idle=True)
        assert unit.is_alone
        if attempt == 1:
            innocent = found.take(is_idle=True)
            found.give(innocent, done(innocent))
        found.lost([unit], 'was killed by SIGKILL')
    assert found.take(is_idle=True) is None
    assert found.is_over
    assert [(row.input, row.state) for row in rows] == [('/1.jpg', DONE), ('/0.jpg', FAILED)]
    assert rows[1].error == (
        '/0.jpg ended the process that worked on it 3 times, which was killed by SIGKILL; look at the file, or '
        'leave it out'
    )
    assert rows[1].attempts == 3


def test_memory_that_runs_out__may_suffice_alone():
    found, rows = schedule(1, retries=1)
    unit = found.take(is_idle=True)
    found.give(unit, Again('/0.jpg does not fit the memory'))
    unit = found.take(is_idle=True)
    assert unit.is_alone
    found.give(unit, Again('/0.jpg does not fit the memory'))
    assert [row.error for row in rows] == ['/0.jpg does not fit the memory']
    assert found.take(is_idle=True) is None
    assert found.is_over


@pytest.mark.parametrize('is_begun', [False, True])
def test_scene__bands_and_then_the_whole(is_begun):
    found, rows = schedule(1)
    unit = found.take(is_idle=True)
    bands = ((0, 5), (5, 10), (10, 12))
    found.give(unit, Split(bands, bands[1:] if is_begun else bands))
    units = [found.take(is_idle=False) for _ in range(2 if is_begun else 3)]
    assert [each.band for each in units] == [*(bands[1:] if is_begun else bands)]
    for each in units:
        assert not found.is_over
        found.give(each, BandDone())
    whole = found.take(is_idle=False)
    assert (whole.band, whole.bands) == (None, bands)
    found.give(whole, done(whole))
    assert found.take(is_idle=True) is None
    assert found.is_over
    assert [row.state for row in rows] == [DONE]


def test_scene_of_which_a_band_fails__is_one_failure():
    found, rows = schedule(1, retries=0)
    found.give(
        found.take(is_idle=True), Split(((0, 5), (5, 10), (10, 12)), ((0, 5), (5, 10), (10, 12)))
    )
    first, second = found.take(is_idle=False), found.take(is_idle=False)
    found.lost([first], 'was killed by SIGSEGV')
    assert [row.input for row in rows] == ['/0.jpg']
    found.give(second, BandDone())
    assert found.take(is_idle=True) is None
    assert found.take(is_idle=True) is None
    assert found.is_over
    assert len(rows) == 1


def test_max_failures__ends_the_job():
    found, _ = schedule(9, max_failures=1)
    for _ in range(2):
        unit = found.take(is_idle=False)
        found.give(unit, Row(unit.address, FAILED, error='it is broken'))
    assert found.take(is_idle=True) is None
    assert found.take(is_idle=True) is None
    assert found.is_over
    assert found.error == (
        '2 inputs failed, and --max-failures 1 allows no more; the last one: it is broken'
    )


def test_place_that_takes_no_results__ends_the_job_without_a_row():
    found, rows = schedule(9)
    found.give(found.take(is_idle=False), Stop('the disk is full'))
    assert (found.is_over, found.error, rows) == (True, 'the disk is full', [])
