"""``swinseg configs``: the list, and a copy to edit."""

import pytest

from support.scripts import assert_one_clear_line
from swinseg.cli.configs import COMMAND
from swinseg.cli.frame import main
from swinseg.config.shipped import shipped_names


def test_configs__lists_each_in_a_line(capsys):
    assert main(COMMAND, []) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped_names()
    assert all(len(line.split()) > 4 for line in lines)


def test_configs__copies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(COMMAND, ['--copy', 'upernet_swin_t_mini']) == 0
    assert capsys.readouterr().out == 'upernet_swin_t_mini.py and 6 files that it is based on\n'
    (tmp_path / 'upernet_swin_t_mini.py').write_text('edited = 1\n')
    assert_one_clear_line(
        main(COMMAND, ['--copy', 'upernet_swin_t_mini']), capsys, '--overwrite replaces it'
    )
    assert main(COMMAND, ['--copy', 'upernet_swin_t_mini', '--overwrite']) == 0
    assert 'edited' not in (tmp_path / 'upernet_swin_t_mini.py').read_text()


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (
            ['--copy', 'upernet_swin_t_cam'],
            'no config upernet_swin_t_cam comes with swinseg; did you mean upernet_swin_',
        ),
        (['--out', 'x'], 'go with --copy NAME'),
    ],
)
def test_configs__bad_usage(capsys, arguments, expected):
    assert_one_clear_line(main(COMMAND, arguments), capsys, expected)
