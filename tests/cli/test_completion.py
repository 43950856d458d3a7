"""What a shell completes, asked of a real one."""

import shutil
import subprocess

import pytest

from swinseg.cli.completion import COMMAND
from swinseg.cli.frame import main
from swinseg_command import SUBCOMMANDS

BASH = shutil.which('bash')


@pytest.fixture(scope='module')
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp('completion') / 'swinseg.bash'
    with pytest.MonkeyPatch.context() as patch:
        written = []
        patch.setattr('builtins.print', written.append)
        assert main(COMMAND, ['bash']) == 0
    path.write_text(written[0])
    return path


@pytest.mark.skipif(BASH is None, reason='needs bash')
@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['tr'], {'train'}),
        ([''], set(SUBCOMMANDS)),
        (['train', 'upernet_swin_t_ca'], {'upernet_swin_t_camvid'}),
        (['test', 'upernet_swin_t_mini', 'bes'], {'best.pth'}),
        (['segment', '--dtype', 'b'], {'bfloat16'}),
        (['segment', '--out', ''], {'masks'}),
        (['segment', '--over'], {'--overwrite'}),
        (['prepare', 'mi'], {'mini'}),
        (['prepare', 'mini', '--tr'], {'--train-images'}),
        (['configs', '--copy', 'ablations/upernet_swin_t_no_s'], {'ablations/upernet_swin_t_no_shift'}),
    ],
)  # fmt: skip
def test_bash__completes(script, tmp_path, words, expected):
    (tmp_path / 'best.pth').touch()
    (tmp_path / 'masks').mkdir()
    line = ['swinseg', *words]
    quoted = ' '.join(f"'{word}'" for word in line)
    program = (
        f'source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; '
        f"COMPREPLY=(); _shtab_swinseg swinseg '{words[-1]}' '{line[-2]}'; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [BASH, '-c', program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert {word.rstrip('/') for word in done.stdout.split()} - {
        '-h',
        '--help',
        '--version',
    } == expected


@pytest.mark.parametrize('shell', ['zsh', 'tcsh', 'fish', 'powershell'])
def test_other_shells__know_the_subcommands(capsys, shell):
    assert main(COMMAND, [shell]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in SUBCOMMANDS)
