"""Going on with a file: only where it is of the same measurement."""

import dataclasses

import pytest

from swinseg.benchmark.results import Result, Row, Table, save
from swinseg.benchmark.resuming import earlier_tables
from swinseg.errors import BenchmarkError

ENVIRONMENT = {'date': '2030-01-02', 'packages': {'torch': '2.13.0'}, 'gpu': 'Some GPU'}
RESULT = Result('gpu', {'sizes': (64,), 'budget': 9.0}, ENVIRONMENT, ())
TABLES = (Table('Inference', (Row('stock', (1.0, 2.0), case='a'),)),)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'gpu.json'
    save(dataclasses.replace(RESULT, tables=TABLES), path)
    return path


def test_earlier_tables__of_no_file(tmp_path):
    assert earlier_tables(tmp_path / 'new.json', RESULT) == ()


def test_earlier_tables__of_another_day_and_budget(file):
    later = dataclasses.replace(
        RESULT,
        options={**RESULT.options, 'budget': 99.0},
        environment={**ENVIRONMENT, 'date': '2030-02-03'},
    )
    assert earlier_tables(file, later, may_differ=('budget',)) == TABLES


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'suite': 'train'}, 'its suite is "gpu", and this one would have "train"'),
        ({'options': {'sizes': (96,), 'budget': 9.0}}, r'its sizes is \[64\], .* have \[96\]'),
        ({'options': {'sizes': (64,), 'budget': 8.0}}, r'its budget is 9\.0'),
        ({'environment': {**ENVIRONMENT, 'gpu': 'Other'}}, 'its gpu is "Some GPU", .* "Other"'),
        ({'environment': {**ENVIRONMENT, 'packages': {'torch': '2.14.0'}}}, r'its torch is "2\.13\.0"'),
    ],
)  # fmt: skip
def test_earlier_tables__of_another_measurement(file, change, message):
    with pytest.raises(BenchmarkError, match=message) as caught:
        earlier_tables(file, dataclasses.replace(RESULT, **change))
    assert str(file) in str(caught.value)
    assert 'name another --out' in str(caught.value)
