"""The report for bug reports."""

import runpy
import sys

import torch

from swinseg import compat, env


def test_report__has_versions_devices_and_adaptations():
    text = env.report()
    assert f'torch {torch.__version__}' in text
    assert 'mmsegmentation 1.2.2' in text
    assert 'cpu: ' in text
    assert 'compiled mmcv ops: ' in text
    for adaptation in compat.active():
        assert adaptation.name in text


def test_main__prints_the_report(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, 'swinseg.env')
    runpy.run_module('swinseg.env', run_name='__main__')
    assert capsys.readouterr().out.startswith('swinseg ')
