"""A file is either the old one or the whole new one."""

import pytest

from swinseg.files import OutputError, atomic_path, make_folder, write_bytes, write_text


def test_write_text__replaces_the_file_and_leaves_nothing_else(tmp_path):
    write_text(tmp_path / 'a.txt', 'old')
    write_text(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'new'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_write_bytes__keeps_every_byte(tmp_path):
    write_bytes(tmp_path / 'a.bin', bytes(range(256)))
    assert (tmp_path / 'a.bin').read_bytes() == bytes(range(256))


def test_atomic_path__a_failure_leaves_the_old_file(tmp_path):
    write_text(tmp_path / 'a.txt', 'old')

    class DiskError(Exception):
        pass

    with pytest.raises(DiskError), atomic_path(tmp_path / 'a.txt') as temporary:  # noqa: PT012
        temporary.write_text('half')
        raise DiskError
    assert (tmp_path / 'a.txt').read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_make_folder__creates_parents(tmp_path):
    assert make_folder(tmp_path / 'a' / 'b').is_dir()


def test_make_folder__below_a_file_is_one_sentence(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match=r'cannot write to the output folder .*file/out'):
        make_folder(tmp_path / 'file' / 'out')


def test_write_text__missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match=r'cannot write .*missing/a\.txt'):
        write_text(tmp_path / 'missing' / 'a.txt', '')
