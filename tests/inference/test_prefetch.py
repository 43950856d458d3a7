"""Threads that read ahead and write behind: order, bounds, errors, end."""

import threading

import pytest

from swinseg.inference.prefetch import ReadAhead, WriteBehind


@pytest.mark.parametrize('depth', [1, 3, 20])
def test_read_ahead__results_in_order_and_bounded(depth):
    started = []

    def read(a, b):
        started.append(a)
        return a * b

    with ReadAhead(read, ((i, 10) for i in range(9)), depth=depth) as ahead:
        for i in range(9):
            assert ahead(i, 10) == i * 10
            assert len(started) <= i + 1 + depth
    assert started == list(range(9))


def test_read_ahead__reads_while_the_caller_works():
    second = threading.Event()
    with ReadAhead(lambda i: second.set() if i == 1 else i, [(0,), (1,)]) as ahead:
        ahead(0)
        assert second.wait(10)  # nobody asked for it yet


def test_read_ahead__other_calls_are_refused():
    with ReadAhead(abs, [(1,)]) as ahead:
        with pytest.raises(ValueError, match=r'announced as \(1,\), but is \(2,\)'):
            ahead(2)
        assert ahead(1) == 1
        with pytest.raises(ValueError, match='no call'):
            ahead(1)


def test_read_ahead__error_comes_with_its_own_result():
    before = threading.active_count()
    with ReadAhead(lambda i: 6 // i, [(2,), (0,), (1,)], depth=3) as ahead:
        assert ahead(2) == 3
        with pytest.raises(ZeroDivisionError):
            ahead(0)
        assert ahead(1) == 6
    assert threading.active_count() == before


def test_write_behind__order_and_end():
    before = threading.active_count()
    written = []
    with WriteBehind(written.append) as write:
        for i in range(50):
            write(i)
    assert written == list(range(50))
    assert threading.active_count() == before


def test_write_behind__waits_for_room():
    gate, written = threading.Event(), []

    def slow(i):
        gate.wait(10)
        written.append(i)

    with WriteBehind(slow, depth=2) as write:
        write(0)
        write(1)
        threading.Timer(0.05, gate.set).start()
        write(2)
        assert written[0] == 0  # the third waited for the first
    assert written == [0, 1, 2]


def test_write_behind__error_is_raised_and_ends_the_writing():
    written = []

    def fail_at_three(i):
        if i == 3:
            raise OSError('disk full')
        written.append(i)

    def write_all():
        with WriteBehind(fail_at_three) as write:
            for i in range(20):
                write(i)

    with pytest.raises(OSError, match='disk full'):
        write_all()
    assert written == [0, 1, 2]


def test_write_behind__error_of_the_last_call():
    with pytest.raises(ZeroDivisionError), WriteBehind(lambda i: 1 // i) as write:
        write(0)


def test_write_behind__keeps_accepted_calls_when_its_caller_fails():
    written = []

    def write_and_fail():
        with WriteBehind(written.append, depth=9) as write:
            for i in range(5):
                write(i)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert written == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    'kind', [lambda: ReadAhead(abs, [], depth=0), lambda: WriteBehind(abs, depth=0)]
)
def test_depth__is_checked(kind):
    with pytest.raises(ValueError, match='1 or more'):
        kind()
