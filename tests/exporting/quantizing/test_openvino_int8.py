"""What NNCF is given and not given, without a model."""

import pytest

from swinseg.exporting.quantizing import openvino_int8
from swinseg_runtime.openvino_core import openvino_core


def test_one_core__is_the_one_of_the_process():
    openvino = pytest.importorskip('openvino')
    before = openvino.Core
    with openvino_int8._one_core():
        assert openvino.Core() is openvino_core()
    assert openvino.Core is before
