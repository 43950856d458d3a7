"""Parts within a budget: what fits, what is kept, and what costs the others nothing."""

import pytest
import torch

from swinseg.benchmark.parts import FAILED, Budget, Part, joined, measure_parts
from swinseg.benchmark.results import Row, Table
from swinseg.errors import BenchmarkError

TITLE = 'Inference'


class Clock:
    """A clock that parts put forward."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def part(
    case, *, clock=None, expected=1.0, takes=1.0, table=TITLE, error=None, left_out=(), kind=''
):
    def measure():
        if clock is not None:
            clock.now += takes
        if error is not None:
            raise error
        return Table(table, (Row('ours', case=case),), left_out=dict.fromkeys(left_out, 'absent'))

    return Part(table, case, expected, measure, kind)


def cases(tables):
    return [row.case for table in tables for row in table.rows]


def test_measure_parts__in_order_and_keeps_each():
    kept = []
    parts = [part('a', table='x'), part('b', table='y'), part('c', table='x')]
    tables = measure_parts(parts, Budget(100), keep=lambda tables: kept.append(cases(tables)))
    assert [table.title for table in tables] == ['x', 'y']
    assert kept == [['a'], ['a', 'b'], ['a', 'c', 'b']]


def test_measure_parts__leaves_out_what_does_not_fit_and_goes_on_with_what_does():
    clock = Clock()
    parts = [
        part('long', clock=clock, expected=4, takes=4),
        part('too long', clock=clock, expected=30, takes=30),
        part('short', clock=clock, expected=2, takes=2),
    ]
    (table,) = measure_parts(parts, Budget(10, clock))
    assert cases([table]) == ['long', 'short']
    assert table.left_out == {
        'too long': 'no time for it: about 30 s, 6 s of 10 s are left; run again with the same --out'
    }


def test_measure_parts__goes_on_with_an_interrupted_run():
    lines = []
    parts = [part('a'), part('b', left_out=('transformers',))]
    earlier = Table(TITLE, (Row('ours', (3.0,), case='a'),), left_out={'b': 'no time for it'})
    (table,) = measure_parts(parts, Budget(100), earlier=[earlier], say=lines.append)
    assert [row.seconds for row in table.rows] == [(3.0,), ()]
    assert table.left_out == {'b: transformers': 'absent'}
    assert lines[0] == '[1/2] Inference: a: is there already'


def test_measure_parts__stops_where_it_is_interrupted_with_all_before_kept():
    kept = []
    with pytest.raises(KeyboardInterrupt):
        measure_parts(
            [part('a'), part('b', error=KeyboardInterrupt())], Budget(100),
            keep=lambda tables: kept.append(cases(tables)),
        )  # fmt: skip
    assert kept == [['a']]


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (RuntimeError('Expected all tensors to be on the same device'),
         f'{FAILED}RuntimeError: Expected all tensors to be on the same device'),
        (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB'), 'out of memory'),
    ],
)  # fmt: skip
def test_measure_parts__an_error_costs_its_part_alone(error, reason):
    (table,) = measure_parts([part('a', error=error), part('b')], Budget(100))
    assert cases([table]) == ['b']
    assert table.left_out == {'a': reason}


def test_measure_parts__a_mistake_of_the_user_ends_all():
    with pytest.raises(BenchmarkError, match='a variant is'):
        measure_parts(
            [part('a', error=BenchmarkError('a variant is one of')), part('b')], Budget(9)
        )


def test_budget__learns_what_parts_of_a_kind_take():
    clock = Clock()
    budget = Budget(100, clock)
    slow = part('a', expected=2, kind='float32')
    assert budget.expected(slow) == 2
    budget.learn(slow, 6.0)
    assert budget.expected(part('b', expected=4, kind='float32')) == 12
    assert budget.expected(part('b', expected=4, kind='bfloat16')) == 4
    budget.learn(slow, 1000.0)
    assert budget.expected(part('b', expected=4, kind='float32')) == 40
    check = part('c', expected=2)
    budget.learn(check, 50.0)
    assert budget.expected(check) == 2
    clock.now += 30
    assert budget.left == 70


def test_joined__forgets_why_a_case_was_left_out_once_it_is_there():
    before = Table(TITLE, (), left_out={'a': 'no time', 'a: x': 'absent', 'ab': 'no time'})
    more = Table(TITLE, (Row('ours', case='a'),), 'stock', notes=('one',))
    table = joined(before, more, case='a')
    assert table.left_out == {'ab': 'no time'}
    assert [table.baseline, table.notes] == ['stock', ('one',)]
    assert joined(table, more, case='a').notes == ('one',)
