"""The order of the turns, on a clock that the functions themselves move."""

import gc

import pytest
import torch

from swinseg.benchmark.exactness import LARGEST, of_tensors
from swinseg.benchmark.timing import (
    Candidate,
    Rounds,
    compare,
    time_in_turn,
    under_autocast,
    with_device_sync,
)


class Machine:
    """A clock and functions that take a given time on it."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def work(self, name, seconds, result=None):
        def call():
            self.log.append(name)
            self.now += seconds
            return result

        return call

    def rounds(self, most=3, seconds=1e9):
        return Rounds(
            most=most, seconds=seconds, clock=lambda: self.now, pause=lambda seconds: None
        )


def test_time_in_turn__interleaves_and_returns_seconds_of_each_round():
    machine = Machine()
    calls = [machine.work('a', 1.0), machine.work('b', 2.5)]
    assert time_in_turn(calls, machine.rounds(3)) == [[1.0] * 3, [2.5] * 3]
    assert machine.log == ['a', 'b', 'a', 'b', 'a', 'b']


def test_time_in_turn__repeats_what_is_too_short_for_the_clock():
    machine = Machine()
    (seconds,) = time_in_turn([machine.work('a', 1e-4)], machine.rounds(2))
    assert seconds == pytest.approx([1e-4, 1e-4])
    assert len(machine.log) >= 2 * 200  # 20 ms a turn


def test_time_in_turn__what_takes_no_time_at_all_ends():
    machine = Machine()
    assert time_in_turn([machine.work('a', 0.0)], machine.rounds(2)) == [[0.0, 0.0]]


@pytest.mark.parametrize(('budget', 'expected'), [(0, 2), (2.9, 2), (3.0, 3), (5.1, 5), (1e9, 7)])
def test_time_in_turn__stops_before_the_time_is_over_but_not_before_two_rounds(budget, expected):
    machine = Machine()
    (seconds,) = time_in_turn([machine.work('a', 1.0)], machine.rounds(7, budget))
    assert len(seconds) == expected


def test_time_in_turn__a_single_round():
    machine = Machine()
    assert time_in_turn([machine.work('a', 1.0)], machine.rounds(1)) == [[1.0]]


def test_time_in_turn__leaves_garbage_collection_as_it_was():
    machine = Machine()
    seen = []
    time_in_turn([lambda: seen.append(gc.isenabled()) or machine.work('a', 1)()], machine.rounds(1))
    assert seen == [False]
    assert gc.isenabled()


def test_compare__reports_a_difference_and_computes_figures_from_the_median():
    machine = Machine()
    candidates = [
        Candidate('a', machine.work('a', 2.0, torch.tensor([1.0, -3.0]))),
        Candidate(
            'b',
            machine.work('b', 1.0, torch.tensor([1.0, -3.25])),
            figures=lambda median: {'per second': 1 / median},
        ),
    ]
    rows, left_out = compare(candidates, of_tensors, rounds=machine.rounds(2), case='x')
    assert left_out == {}
    assert [(row.name, row.case, row.seconds) for row in rows] == [
        ('a', 'x', (2.0, 2.0)),
        ('b', 'x', (1.0, 1.0)),
    ]
    assert rows[0].exactness == {}
    assert rows[1].exactness == {LARGEST: 0.25, 'largest value': 3.0}
    assert rows[1].figures == {'per second': 1.0}


def test_compare__with_a_better_reference_judges_the_first_candidate_too():
    machine = Machine()
    calls = [machine.work(name, 1.0, torch.tensor([value])) for name, value in [('a', 2), ('b', 5)]]
    candidates = [Candidate(name, call) for name, call in zip('ab', calls, strict=True)]
    rows, _ = compare(candidates, of_tensors, rounds=machine.rounds(1), reference=torch.tensor([3]))
    assert [row.exactness[LARGEST] for row in rows] == [1, 2]


def test_compare__warms_up_before_the_rounds():
    machine = Machine()
    candidates = [Candidate(name, machine.work(name, 1.0, torch.ones(1))) for name in 'ab']
    rows, _ = compare(candidates, of_tensors, rounds=machine.rounds(2), warm_ups=2)
    assert machine.log == [*'aaa', *'bbb', *'abab']
    assert [len(row.seconds) for row in rows] == [2, 2]


def test_compare__names_a_peer_that_fails_and_goes_on():
    machine = Machine()

    def broken():
        raise RuntimeError('no kernel\nand a long trace')

    one = torch.ones(1)
    candidates = [
        Candidate('a', machine.work('a', 1.0, one)),
        Candidate('peer', broken, may_fail=True),
        Candidate('b', machine.work('b', 1.0, one)),
    ]
    rows, left_out = compare(candidates, of_tensors, rounds=machine.rounds(1))
    assert [row.name for row in rows] == ['a', 'b']
    assert left_out == {'peer': 'RuntimeError: no kernel'}


def test_compare__a_failure_of_our_own_is_not_hidden():
    def broken():
        raise RuntimeError('ours')

    with pytest.raises(RuntimeError, match='ours'):
        compare([Candidate('swinseg', broken)], of_tensors, rounds=Rounds(most=1))


def test_under_autocast__casts_in_each_call_only():
    a = torch.ones(2, 2)
    assert under_autocast(lambda: a @ a, 'cpu', torch.bfloat16)().dtype == torch.bfloat16
    assert under_autocast(lambda: a @ a, 'cpu', torch.float32)().dtype == torch.float32
    assert not torch.is_autocast_enabled('cpu')


def test_synchronized__on_a_cpu_is_the_function_itself():
    call = Machine().work('a', 1.0)
    assert with_device_sync(call, 'cpu') is call
