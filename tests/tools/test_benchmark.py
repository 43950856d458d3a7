"""The script: arguments, exit codes, files."""

import pytest

from support import scripts
from swinseg.benchmark.results import load


def test_main__measures_prints_and_writes(tmp_path, capsys):
    out = tmp_path / 'metric.json'
    code = scripts.run(
        'benchmark', 'metric', '--image-size', 40, 48, '--repeats', 1, '--seconds', 0, '--out', out
    )
    assert code == 0
    printed = capsys.readouterr().out
    assert 'stock mmseg' in printed
    assert 'largest difference' in printed
    assert str(out) in printed
    assert load(out).suite == 'metric'


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['metric', '--repeats', 0], '--repeats must be at least 1, found 0'),
        (['metric', '--data-root', 'x'], 'the suite metric takes no --data-root'),
        (['model', '--config', 'missing.py'], 'there is no config file missing.py'),
        (['model', '--variants', 'X'], "one of T, S, B, L, found 'X'"),
        (['metric', '--out', 'x.csv'], r'ends in \.json'),
        (['all'], 'needs a folder'),
        (['data', '--data-root', '/nowhere'], '/nowhere'),
    ],
)
def test_main__bad_input_is_one_clear_line(arguments, expected, capsys):
    code = scripts.run('benchmark', *arguments)
    scripts.assert_one_clear_line(code, capsys, expected)


def test_main__an_unknown_suite_is_bad_usage(capsys):
    scripts.assert_one_clear_line(scripts.run('benchmark', 'speed'), capsys, "'speed'.*'model'")
