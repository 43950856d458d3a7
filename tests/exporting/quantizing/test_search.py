"""Which layers are kept in float."""

import math

import pytest

from swinseg.exporting.quantizing.search import MOST_ROUNDS, search
from swinseg.exporting.quantizing.sensitivity import Sensitivity

RANKED = [
    Sensitivity('tiny', error=0.5, multiply_adds=1),
    Sensitivity('small', error=4, multiply_adds=100),
    Sensitivity('wide', error=2, multiply_adds=1000),
    *(Sensitivity(f'other {i}', error=0.5, multiply_adds=1000) for i in range(5)),
]


def run(drops, **options):
    """Search where the drop is ``drops`` of the set of layers in float."""
    tried = []

    def attempt(layers):
        tried.append(tuple(layers))
        return drops(set(layers))

    rounds = search(attempt, lambda: RANKED, **options)
    assert [each.float_layers for each in rounds] == tried
    return rounds


def test_search__all_in_int8_is_good_enough():
    def rank():
        raise AssertionError('it need not be known which layers are bad')

    rounds = search(lambda layers: 0.05, rank, max_drop=0.1)
    assert [(each.float_layers, each.drop) for each in rounds] == [((), 0.05)]


def test_search__keeps_the_worst_for_their_cost():
    shown = []
    rounds = run(lambda kept: 0.0 if 'small' in kept else 2.0, max_drop=0.1, show=shown.append)
    assert [each.float_layers for each in rounds] == [(), ('tiny', 'small')]
    assert shown == rounds
    assert str(rounds[0]) == 'all in int8: mIoU falls by 2.00 points'
    assert str(rounds[1]) == '2 layers in float: mIoU falls by 0.00 points (tiny, small)'


def test_search__half_of_the_error_that_is_left_in_each_round():
    rounds = run(lambda kept: 0.0 if 'other 0' in kept else 1.0, max_drop=0.5)
    assert [len(each.float_layers) for each in rounds] == [0, 2, 4]


@pytest.mark.parametrize('drop', [1.0, math.nan])
def test_search__ends(drop):
    rounds = run(lambda kept: drop, max_drop=0.5)
    assert len(rounds) <= 1 + MOST_ROUNDS
    assert rounds[-1].drop is drop
    assert len({each.float_layers for each in rounds}) == len(rounds)
