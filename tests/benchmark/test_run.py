"""From a suite's name to its files."""

import json

import pytest
import torch

import swinseg
from swinseg.benchmark import run as runner
from swinseg.benchmark.results import load
from swinseg.benchmark.suites import SUITES
from swinseg.errors import BenchmarkError
from swinseg.files import OutputError

FAST = {'repeats': 1, 'seconds': 0.0, 'image_size': [40, 48]}


@pytest.mark.slow
def test_run__writes_json_and_picture(tmp_path):
    lines = []
    out = tmp_path / 'new' / 'metric.json'
    threads = torch.get_num_threads()
    runner.run('metric', {**FAST, 'threads': 1}, out=out, say=lines.append)
    assert torch.get_num_threads() == threads
    found = load(out)
    assert found.suite == 'metric'
    assert found.options['image_size'] == [40, 48]
    assert found.environment['threads'] == 1
    assert found.environment['swinseg'] == swinseg.__version__
    for package in ('torch', 'mmsegmentation', 'numpy', 'opencv-python'):
        assert found.environment['packages'][package]
    assert 'OMP_WAIT_POLICY' in found.environment
    assert found.environment['processor']
    assert found.environment['date'].count('-') == 2
    assert all(row['seconds'] for row in json.loads(out.read_text())['tables'][0]['rows'])
    assert out.with_suffix('.png').stat().st_size > 1000
    assert 'Evaluation of an image' in lines[0]


def test_run__another_file_type_and_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(
        BenchmarkError, match=r'ends in \.json, found .*x\.txt; try --out .*x\.json'
    ):
        runner.run('metric', FAST, out=tmp_path / 'x.txt')
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        runner.run('metric', FAST, out=tmp_path / 'file' / 'x.json')


@pytest.mark.slow
def test_run_all__writes_every_file_and_renders_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(
        runner, 'ALL', {'first': ('metric', {'image_size': (40, 48)}),
                        'second': ('metric', {'image_size': (32, 40), 'num_classes': 5})},
    )  # fmt: skip
    page = tmp_path / 'README.md'
    page.write_text('<!-- begin: first -->\n<!-- end: first -->\n')
    lines: list[str] = []
    runner.run('all', {'repeats': 1, 'seconds': 0.0}, out=tmp_path, say=lines.append)
    assert lines[-1] == f'tables: {page}'
    assert load(tmp_path / 'first.json').options['num_classes'] == 150
    assert load(tmp_path / 'second.json').options['num_classes'] == 5
    assert '![first](first.png)' in page.read_text()
    assert '40 x 48 pixels' in page.read_text()


def test_run_all__without_a_page_to_render_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, 'ALL', {'first': ('metric', {'image_size': (40, 48)})})
    lines: list[str] = []
    runner.run('all', {'repeats': 1, 'seconds': 0.0}, out=tmp_path, say=lines.append)
    assert lines[-1].startswith(f'no tables: {tmp_path} has no README.md')


def test_run_all__every_preset_is_valid():
    from swinseg.benchmark.options import make_options

    for suite, preset in runner.ALL.values():
        make_options(SUITES[suite].options, suite, preset)
    # A scene of gigabytes takes longer than all others together: it is run by itself.
    assert {suite for suite, _ in runner.ALL.values()} == set(SUITES) - {'scene', 'export', 'gpu'}


def test_run_all__takes_what_every_suite_takes(tmp_path):
    with pytest.raises(BenchmarkError, match='the suite all takes no --sizes'):
        runner.run('all', {'sizes': [64]}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_run_all__needs_a_folder():
    with pytest.raises(BenchmarkError, match=r'needs a folder .* --out benchmarks'):
        runner.run('all', {})
