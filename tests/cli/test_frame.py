"""Exit codes, and the one line that a user sees."""

import warnings

import pytest
from torch.utils.data import DataLoader, Dataset

from support.scripts import assert_one_clear_line
from swinseg.cli import Command, main, one_sentence, run
from swinseg.datasets import DataError
from swinseg.errors import UserError
from swinseg.segment import sources


def test_run__returns_zero_on_success():
    assert run(lambda: None) == 0


def test_run__passes_an_exit_code_on():
    assert run(lambda: 2) == 2


def test_run__a_users_mistake_is_one_line_and_two(capsys):
    def main():
        raise UserError('expected a number, found a word')

    assert run(main) == 2
    assert capsys.readouterr().err == 'error: expected a number, found a word\n'


def test_run__a_defect_of_ours_keeps_its_traceback():
    def main():
        raise ValueError('ours')

    with pytest.raises(ValueError, match='ours'):
        run(main)


def test_run__a_name_that_no_file_can_have(tmp_path, capsys):
    assert run(lambda: len(list((tmp_path / ('n' * 300)).iterdir()))) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: no file can have the name ')
    assert error.count('\n') == 1
    with pytest.raises(FileNotFoundError):
        run(lambda: len((tmp_path / 'missing').read_text()))


def test_run__control_c_is_130(capsys):
    def main():
        raise KeyboardInterrupt

    assert run(main) == 130


class _Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError('labels/a.png: expected a value: below 3, found 7')


def test_one_sentence__of_an_error_from_a_worker_process():
    with pytest.raises(DataError) as caught:
        next(iter(DataLoader(_Broken(), num_workers=1)))
    assert one_sentence(caught.value) == 'labels/a.png: expected a value: below 3, found 7'


def test_run__what_we_warn_of_is_a_sentence():
    def told(filename, category=UserWarning):
        return warnings.formatwarning(category('two frames'), category, filename, 7)

    def main():
        assert told(sources.__file__) == 'warning: two frames\n'
        assert told(sources.__file__, DeprecationWarning).startswith(f'{sources.__file__}:7: Dep')
        assert told('/else/where.py').startswith('/else/where.py:7: UserWarning: two frames')

    before = warnings.formatwarning
    assert run(main) == 0
    assert warnings.formatwarning is before


def _count(parser):
    parser.add_argument('--number', type=int, choices=[1, 2])
    layouts = parser.add_subparsers(dest='layout')
    layouts.add_parser('wide').add_argument('--columns')


COUNT = Command('Count.', '--number 1', _count, lambda args: args.number, notes='Notes.')


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--numbr=1'], r'unrecognized arguments: --numbr=1 \(did you mean --number\?\)'),
        (
            ['wide', '--colums=3'],
            r'unrecognized arguments: --colums=3 \(did you mean --columns\?\)',
        ),
        (['--number', 'x'], "argument --number: invalid int value: 'x'"),
        (['--number', '3'], 'argument --number: invalid choice: 3'),
        (['nothing'], "'nothing'.*wide"),
        (['--number'], 'argument --number: expected one argument; count --help says what there is'),
    ],
)
def test_main__bad_usage_is_one_line_and_two(capsys, arguments, expected):
    assert_one_clear_line(main(COUNT, arguments, prog='count'), capsys, expected)


def test_main__gives_the_command_its_arguments_and_returns_its_code():
    assert main(COUNT, ['--number', '2']) == 2
    assert main(COUNT, []) == 0


def test_main__help_ends_with_an_example(capsys):
    with pytest.raises(SystemExit) as caught:
        main(COUNT, ['--help'], prog='swinseg count')
    assert caught.value.code == 0
    assert capsys.readouterr().out.endswith('Notes.\n\nexample:\n  swinseg count --number 1\n')
