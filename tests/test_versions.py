"""One version: of the package, of what setuptools builds from it, and of what is written beside results."""

import re
import subprocess
import sys
import types
from pathlib import Path

import torch

import swinseg
from swinseg.evaluation.report import versions
from swinseg.versions import installed_version, installed_versions

ROOT = Path(__file__).parents[1]


def test_version__is_written_once():
    number = re.escape(swinseg.__version__)
    written = [
        path.relative_to(ROOT).as_posix()
        for path in [
            ROOT / 'pyproject.toml',
            *ROOT.glob('swinseg/**/*.py'),
            *ROOT.glob('docs/*.md'),
        ]
        if re.search(rf"""['"]{number}['"]""", path.read_text(encoding='utf-8'))
    ]
    assert written == ['swinseg/versions.py']
    # What an editable install wrote down earlier may be another one.
    assert versions()['swinseg'] == installed_version('swinseg') == swinseg.__version__


def test_version__setuptools_reads_it_without_importing_torch():
    code = (
        'import sys; from setuptools.config.pyprojecttoml import read_configuration as read\n'
        "print(read('pyproject.toml')['project']['version'], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.split() == [swinseg.__version__, 'False']


def test_installed_version__is_that_of_the_code_not_of_the_metadata(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.13.0+its.own')
    assert installed_version('torch') == '2.13.0+its.own'
    # A module is no distribution: mmcv-lite installs one that is called mmcv.
    monkeypatch.setitem(sys.modules, 'no-such-distribution', types.SimpleNamespace(__version__='1'))
    assert installed_version('no-such-distribution') is None


def test_installed_versions__leaves_out_what_is_not_there():
    assert installed_versions(['torch', 'no-such-distribution']) == {'torch': torch.__version__}
