"""What a reader sees: text, Markdown, picture, and the page that is rendered from JSON."""

import cv2
import pytest

from swinseg.benchmark import plot, readme, report
from swinseg.benchmark.results import Result, Row, Table, save
from swinseg.errors import BenchmarkError

ENVIRONMENT = {
    'date': '2030-01-02',
    'swinseg': '0.1.0',
    'revision': 'abc',
    'python': '3.12.0',
    'packages': {'torch': '2.13.0'},
    'processor': 'Some CPU, 2 cores',
    'gpu': None,
    'threads': 2,
    'OMP_WAIT_POLICY': 'PASSIVE',
}


def table(**changes):
    rows = (
        Row('stock', (2.0, 2.0)),
        Row('swinseg', (1.0, 1.0), {'largest difference': 2.6e-5, 'same class (%)': 99.9876}),
        Row('OpenVINO', (1.5, 1.5), {'largest difference': 5e-6}, {'peak (MiB)': 1234.5}),
    )
    return Table('T, 512 x 512', rows, 'stock', 'swinseg', **changes)


def growth():
    rows = [
        Row(name, (seconds, seconds), case=f'{side} x {side}')
        for side in (64, 128)
        for name, seconds in (('stock', side / 50), ('swinseg', side / 100))
    ]
    return Table('growth', tuple(rows), 'stock', 'swinseg')


def result(*tables):
    return Result('model', {}, ENVIRONMENT, tables)


def test_cells__ratios_exactness_and_figures():
    header, lines = report.cells(table())
    assert header == [
        '', 'median', 'spread (rounds)', 'stock / this', 'this / swinseg', 'peak (MiB)',
        'largest difference', 'same class (%)',
    ]  # fmt: skip
    assert lines[0] == ['stock', '2.00 s', '± 0.0% (2)', '1.00x', '2.00x', '', '', '']
    assert lines[1] == [
        'swinseg', '1.00 s', '± 0.0% (2)', '2.00x', '1.00x', '', '2.6e-05', '99.988',
    ]  # fmt: skip
    assert lines[2][3:] == ['1.33x', '1.50x', '1,234', '5e-06', '']


def test_cells__two_rows_need_no_second_ratio_and_cases_have_a_column():
    header, lines = report.cells(growth())
    assert header == ['case', '', 'median', 'spread (rounds)', 'stock / this']
    assert [line[-1] for line in lines] == ['1.00x', '2.00x'] * 2


def test_cells__without_times():
    rows = (Row('stock', figures={'peak (MiB)': 4.0}), Row('swinseg', figures={'peak (MiB)': 2.0}))
    header, lines = report.cells(Table('memory', rows))
    assert header == ['', 'peak (MiB)']
    assert lines == [['stock', '4.00'], ['swinseg', '2.00']]


@pytest.mark.parametrize(
    ('value', 'expected'),
    [(123.4, '123 s'), (1.234, '1.23 s'), (0.05678, '56.8 ms'), (4.2e-6, '4.20 µs'), (None, '')],
)
def test_seconds(value, expected):
    assert report.seconds(value) == expected


def test_as_text__names_what_was_left_out():
    text = report.as_text(table(left_out={'ONNX Runtime': 'onnx is not installed'}, notes=('Hm.',)))
    lines = text.splitlines()
    assert lines[0] == 'T, 512 x 512'
    assert lines[-2:] == ['Hm.', 'left out: ONNX Runtime: onnx is not installed']
    assert len({len(line) for line in lines[1:2]}) == 1


def test_as_markdown__every_line_has_the_same_number_of_cells():
    lines = [line for line in report.as_markdown(table()).splitlines() if line.startswith('|')]
    assert len(lines) == 5
    assert len({line.count('|') for line in lines}) == 1


def test_environment_line__processor_threads_and_versions():
    line = report.environment_line(result())
    for part in ('Some CPU', '2 threads', 'PASSIVE', '0.1.0 (abc)', 'torch 2.13.0', '2030-01-02'):
        assert part in line
    assert 'Some GPU' in report.environment_line(
        Result('model', {}, {**ENVIRONMENT, 'gpu': 'Some GPU'}, ())
    )


def test_render_readme__replaces_what_stands_between_the_markers(tmp_path):
    save(result(table()), tmp_path / 'model.json')
    page = tmp_path / 'README.md'
    page.write_text(
        'Prose.\n<!-- begin: model -->\nold\n<!-- end: model -->\nMore.\n'
        '<!-- begin: train -->\n<!-- end: train -->\n'
    )
    readme.render_readme(page)
    once = page.read_text()
    assert once.startswith('Prose.\n<!-- begin: model -->\n')
    assert 'old' not in once
    assert '| swinseg | 1.00 s |' in once
    assert 'Some CPU' in once
    assert 'More.\n' in once
    assert readme.NOT_MEASURED in once
    readme.render_readme(page)
    assert page.read_text() == once


def test_render_readme__shows_the_picture_where_there_is_one(tmp_path):
    save(result(table()), tmp_path / 'model.json')
    page = '<!-- begin: model -->\n<!-- end: model -->'
    assert '![' not in readme.rendered(page, tmp_path)
    plot.plot_result(result(table()), tmp_path / 'model.png')
    assert '![model](model.png)' in readme.rendered(page, tmp_path)


def test_render_readme__a_marker_without_an_end(tmp_path):
    with pytest.raises(BenchmarkError, match='begin: model --> has no end'):
        readme.rendered('<!-- begin: model -->\n<!-- end: other -->', tmp_path)


def test_the_page_of_the_repository__is_rendered_from_its_files():
    from swinseg.benchmark.environment import ROOT
    from swinseg.benchmark.run import ALL

    page = (ROOT / 'benchmarks' / 'README.md').read_text(encoding='utf-8')
    assert readme.rendered(page, ROOT / 'benchmarks') == page
    for name in ALL:
        assert f'<!-- begin: {name} -->' in page


@pytest.mark.parametrize('tables', [(table(),), (growth(),), (table(), growth())])
def test_plot_result__draws(tables, tmp_path):
    assert plot.plot_result(result(*tables), tmp_path / 'plot.png')
    picture = cv2.imread(str(tmp_path / 'plot.png'))
    assert picture.std() > 1


@pytest.mark.parametrize('tables', [(), (Table('T', (Row('a', (1.0,)),)),)])
def test_plot_result__draws_nothing_without_a_baseline(tables, tmp_path):
    assert not plot.plot_result(result(*tables), tmp_path / 'plot.png')
    assert not (tmp_path / 'plot.png').exists()


def test_is_growth__needs_several_sizes():
    assert plot.is_growth(growth())
    assert not plot.is_growth(table())
    assert not plot.is_growth(Table('T', (Row('a', case='64 x 64'),)))


def verdicts(count):
    rows = tuple(
        Row(f'check {i}', figures={'found': 0.5, 'bound': 2e-5}, verdict='fail')
        for i in range(count)
    )
    return Table(f'{count} of 20 checks fell short', rows)


def test_cells__verdicts_have_a_column_and_small_bounds_their_digits():
    header, lines = report.cells(verdicts(1))
    assert header == ['', 'found', 'bound', 'verdict']
    assert lines == [['check 0', '0.50', '2e-05', 'fail']]


@pytest.mark.parametrize(('count', 'last'), [(2, 'check 1: found'), (14, 'and 2 more')])
def test_plot__what_fell_short_stands_above_the_pictures(tmp_path, count, last):
    found = result(verdicts(count), table())
    lines = plot.headline(found)
    assert lines[:2] == ['Some CPU, 2 cores', f'{count} of 20 checks fell short']
    assert lines[-1].strip().startswith(last)
    assert plot.headline(result(table())) == ['Some CPU, 2 cores']
    assert plot.plot_result(found, tmp_path / 'head.png')
    assert plot.plot_result(result(table()), tmp_path / 'plain.png')
    with_head, plain = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('head', 'plain'))
    assert with_head.shape[0] > plain.shape[0]
