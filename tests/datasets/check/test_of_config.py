"""The datasets of a config, as a training and ``tools/check_dataset.py`` look at them."""

from __future__ import annotations

import logging

import pytest

from swinseg.datasets.check.of_config import check_dataset, check_sample
from swinseg.engine import load_config
from swinseg.engine.training import _log_check
from swinseg.errors import UserError

REFUSED = {
    'a mean for values from 0 to 1': (
        'model = dict(data_preprocessor=dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]))',
        r'^the mean and std of data_preprocessor are for values from 0 to 1',
    ),
    'a loader that contradicts its dataset': (
        "train_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), "
        "dict(type='LoadLabel', reduce_zero_label=False)]))",
        r'^LoadLabel has reduce_zero_label=False, but \w+ has reduce_zero_label=True',
    ),
}
PASSED = {
    'none': '',
    'no normalization': (
        'model = dict(data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0]))'
    ),
    'one number for all channels': 'model = dict(data_preprocessor=dict(mean=[116.0], std=[58.0]))',
    # For the model to refuse.
    'no numbers': "model = dict(data_preprocessor=dict(mean='a', std=5))",
    'a deviation of 0': 'model = dict(data_preprocessor=dict(std=[0.0, 1.0, 1.0]))',
    'a mean of four': 'model = dict(data_preprocessor=dict(mean=[1.0, 2.0, 3.0, 4.0]))',
}
NORMALIZE = (
    "train_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), dict(type='LoadLabel'), "
    "dict(type='Normalize', mean=[0, 0, 0], std=[255, 255, 255]), dict(type='PackSegInputs')]))\n"
    + REFUSED['a mean for values from 0 to 1'][0]
)


@pytest.mark.parametrize('case', REFUSED)
def test_check__training_and_tool_refuse_in_the_same_words(write_tiny_config, case):
    extra, expected = REFUSED[case]
    cfg = load_config(write_tiny_config(extra=extra))
    errors = [f for f in check_dataset(cfg, workers=1).findings if f.severity == 'error']
    with pytest.raises(UserError, match=expected) as caught:
        check_sample(cfg)
    assert str(caught.value) == errors[0].sentence


@pytest.mark.parametrize('case', PASSED)
def test_check__what_both_let_pass(write_tiny_config, case):
    cfg = load_config(write_tiny_config(extra=PASSED[case]))
    report = check_dataset(cfg, workers=1)
    assert report.ok
    found = check_sample(cfg)
    assert list(found.splits) == ['train', 'val']
    assert {f.code for f in found.findings} <= {f.code for f in report.findings}


def test_check__normalization_is_not_compared_where_the_pipeline_changes_the_values(
    write_tiny_config,
):
    cfg = load_config(write_tiny_config(extra=NORMALIZE))
    reports = check_dataset(cfg, splits=('train',), workers=1), check_sample(cfg, splits=('train',))
    assert not {f for report in reports for f in report.findings if f.code == 'normalization'}


def test_check__training_logs_figures_and_warnings(write_tiny_config, caplog):
    extra = PASSED['no normalization']
    report = check_sample(load_config(write_tiny_config(extra=extra)), splits=('train',))
    logger = logging.getLogger('swinseg.test')
    with caplog.at_level(logging.INFO, logger=logger.name):
        _log_check(report, logger)
    figures, *warnings = caplog.records
    assert figures.getMessage().startswith('train set: ')
    assert figures.levelno == logging.INFO
    assert {record.levelno for record in warnings} == {logging.WARNING}
    assert any('far from the' in record.getMessage() for record in warnings)
