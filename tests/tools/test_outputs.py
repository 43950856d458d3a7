"""No tool writes over a file of someone else, whatever it is told to write."""

from __future__ import annotations

import json

import pytest

from support import scripts
from support.report_folder import make_record
from swinseg.benchmark import run as benchmark
from swinseg.cli import run as run_main
from swinseg.report.html_page import html_page
from swinseg.report.page import write_report

MINE = '<html><title>swinseg, my notes</title>{"key": 1}\n'


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / 'report'
    write_report(make_record(folder, images=2), folder)
    return folder


def assert_kept(path, call, capsys):
    """Check that a tool which would write a file refuses, and that it does so before anything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINE)
    before = sorted(each for each in path.parent.rglob('*'))
    code = call()
    scripts.assert_one_clear_line(
        code, capsys, f'{path} is there already, and swinseg did not write'
    )
    assert path.read_text() == MINE
    assert sorted(path.parent.rglob('*')) == before


def test_compare__out(report, tmp_path, capsys):
    page = tmp_path / 'pages' / 'notes.html'
    call = ('compare', report, report, '--out', page)
    assert_kept(page, lambda: scripts.run(*call), capsys)
    page.unlink()
    assert [scripts.run(*call), scripts.run(*call)] == [0, 0]
    # Its own inputs are no pages.
    record = (report / 'record.json').read_bytes()
    assert scripts.run('compare', report, report, '--out', report / 'record.json') == 2
    assert (report / 'record.json').read_bytes() == record


@pytest.mark.parametrize('option', ['--json', '--html'])
def test_check_dataset__files(write_tiny_config, tmp_path, capsys, option):
    path = tmp_path / 'checks' / 'check'
    call = ('check_dataset', write_tiny_config(), '--sample', 1, '--workers', 1, option, path)
    assert_kept(path, lambda: scripts.run(*call), capsys)
    path.unlink()
    assert [scripts.run(*call), scripts.run(*call)] == [0, 0]
    config = write_tiny_config()
    before = config.read_bytes()
    assert scripts.run('check_dataset', config, option, config) == 2
    assert config.read_bytes() == before


@pytest.mark.parametrize('name', ['curves.png', 'class_iou.png'])
def test_plot_log__pictures(tiny_run, tmp_path, capsys, name):
    out = tmp_path / 'plots'
    call = ('plot_log', tiny_run, '--out', out)
    assert_kept(out / name, lambda: scripts.run(*call), capsys)
    (out / name).unlink()
    assert [scripts.run(*call), scripts.run(*call)] == [0, 0]


def test_complexity__picture(tmp_path, capsys):
    out = tmp_path / 'plots'
    call = ('complexity', '--sides', 7, '--out', out)
    assert_kept(out / 'attention_cost.png', lambda: scripts.run(*call), capsys)
    (out / 'attention_cost.png').unlink()
    assert [scripts.run(*call), scripts.run(*call)] == [0, 0]


@pytest.mark.parametrize('name', ['x.json', 'x.png'])
def test_benchmark__json_and_the_picture_beside_it(tmp_path, capsys, name):
    out = tmp_path / 'measured' / 'x.json'

    def call():
        return run_main(lambda: benchmark.run('metric', {}, out=out, say=lambda line: None))

    assert_kept(out.parent / name, call, capsys)


@pytest.mark.parametrize(
    'path', sorted((scripts.TOOLS.parent / 'benchmarks').glob('*.json')), ids=str
)
def test_benchmark__results_of_earlier_ones_are_its_own(path):
    benchmark._check_file(path)


def test_test__metrics_and_report(write_tiny_config, tiny_run, tmp_path, capsys):
    config, work_dir = write_tiny_config(), tmp_path / 'work'
    call = ('test', config, tiny_run / 'iter_4.pth', '--work-dir', work_dir)
    assert_kept(work_dir / 'metrics.json', lambda: scripts.run(*call), capsys)
    (work_dir / 'metrics.json').unlink()
    out = tmp_path / 'out'
    for name in ('record.json', 'report.html', 'images.csv'):
        whole = (*call, '--out', tmp_path / 'figures', '--report', out)
        assert_kept(out / name, lambda whole=whole: scripts.run(*whole), capsys)
        (out / name).unlink()
    assert [scripts.run(*whole), scripts.run(*whole)] == [0, 0]
    assert json.loads((tmp_path / 'figures' / 'metrics.json').read_text())['per_class']


def test_html_page__can_be_told_from_others(tmp_path):
    assert '<meta name="generator" content="swinseg">' in html_page('<title>', [])
