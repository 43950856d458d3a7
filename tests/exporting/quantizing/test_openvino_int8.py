"""What NNCF is given and not given, without a model."""

import logging

import pytest

from swinseg.exporting.quantizing import openvino_int8
from swinseg_runtime.openvino_core import openvino_core


def test_one_core__is_the_one_of_the_process():
    openvino = pytest.importorskip('openvino')
    before = openvino.Core
    with openvino_int8._one_core():
        assert openvino.Core() is openvino_core()
    assert openvino.Core is before


def test_quiet_nncf__leaves_the_logs_of_others_alone(caplog):
    pytest.importorskip('nncf')
    kind = logging.getLoggerClass()
    with openvino_int8._quiet_nncf():
        assert not logging.getLogger('nncf').isEnabledFor(logging.WARNING)
    assert logging.getLogger('nncf').isEnabledFor(logging.INFO)
    assert logging.getLoggerClass() is kind
    logging.getLogger('others').warning('heard')
    assert 'heard' in caplog.text
