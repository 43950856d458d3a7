"""Rows, tables, and their way to JSON and back."""

import json
from pathlib import Path

import pytest

from swinseg.benchmark.results import Result, Row, Table, load, save, times_as_fast, to_json
from swinseg.errors import BenchmarkError
from swinseg.files import OutputError


def result():
    rows = (
        Row('stock', (1.0, 2.0, 3.0), case='a'),
        Row('ours', (0.5, 0.5, 1.0), {'largest difference': 1e-6}, {'peak (MiB)': 3.5}, case='a'),
    )
    table = Table('T', rows, 'stock', 'ours', {'OpenVINO': 'not installed'}, ('a note',))
    return Result('model', {'repeats': 3}, {'threads': 2}, (table,))


def test_json__there_and_back(tmp_path):
    path = tmp_path / 'model.json'
    save(result(), path)
    assert load(path) == result()


def test_json__holds_every_single_time(tmp_path):
    content = json.loads(to_json(result()))
    assert content['tables'][0]['rows'][0]['seconds'] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    'text', ['', '[]', '{}', '{"format": 2}', '{"format": 1, "tables": [{"x": 1}]}', 'nonsense']
)
def test_load__something_else_is_one_clear_error(tmp_path, text):
    path = tmp_path / 'other.json'
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r'other\.json is no benchmark result of format 1'):
        load(path)


def test_load__a_missing_file(tmp_path):
    with pytest.raises(BenchmarkError, match='cannot be read: No such file'):
        load(tmp_path / 'missing.json')


def test_save__a_folder_that_is_not_there():
    with pytest.raises(OutputError, match='cannot write'):
        save(result(), Path('/nowhere/x.json'))


def test_row__median_and_spread():
    row = Row('a', (1.0, 2.0, 3.0, 4.0, 10.0))
    assert row.median == 3.0
    assert row.spread == pytest.approx((4 - 2) / 2 / 3)
    assert Row('a').median is None
    assert Row('a', (1.0,)).spread is None


def test_times_as_fast__is_the_median_of_the_ratios_within_a_round():
    # Both are slow in the second round; medians alone would say 5 / 1.
    slow, fast = Row('slow', (2.0, 50.0, 5.0)), Row('fast', (1.0, 10.0, 1.0))
    assert times_as_fast(fast, slow) == 5.0
    assert times_as_fast(slow, fast) == 0.2
    assert times_as_fast(Row('memory'), slow) is None


def test_table__cases_keep_their_order():
    table = Table('T', tuple(Row('r', (1.0,), case=case) for case in 'bab'))
    assert table.cases == ['b', 'a']
    assert table.row('r', 'a').case == 'a'
    assert table.row('other', 'a') is None
