"""A file is either the old one or the whole new one."""

import errno
import io
import random
import zipfile

import pytest

from swinseg.errors import UserError
from swinseg.files import (
    OutputError,
    atomic_path,
    fitted_name,
    is_partial,
    make_folder,
    require_other_file,
    watching,
    write_bytes,
    write_text,
    zip_errors_as,
)


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


def test_atomic_path__the_longest_name_that_there_can_be(tmp_path):
    name = 'ä' * 125 + '.json'
    assert len(name.encode()) == 255
    write_text(tmp_path / name, 'text')
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(OutputError, match=r'cannot write .*: File name too long'):
        write_text(tmp_path / f'a{name}', 'text')


@pytest.mark.parametrize('character', ['a', 'ä', '雪', '🙂'])
def test_fitted_name__is_short_enough_and_tells_names_apart(character):
    names = [character * 200 + end for end in ('', 'b', 'c')]
    fitted = [fitted_name(name, 100) for name in names]
    assert all(80 < len(name.encode()) <= 100 for name in fitted)
    assert len(set(fitted)) == 3
    assert fitted_name(character, 100) == character


def test_watching__sees_what_gets_its_name_in_or_below_the_folder_and_can_refuse(tmp_path):
    seen = []

    def refuse(final, temporary):
        seen.append((final.name, temporary.read_text()))
        if final.name == 'kept.txt':
            raise OutputError('not this one')

    folder, _ = make_folder(tmp_path / 'out' / 'sub'), (tmp_path / 'kept.txt').write_text('old')
    write_text(folder / 'kept.txt', 'old')
    with watching(tmp_path / 'out', refuse):
        write_text(folder / 'a.txt', 'text')
        write_text(folder / '.b.partial.json', 'for later')
        write_text(tmp_path / 'kept.txt', 'elsewhere')
        with pytest.raises(OutputError, match='not this one'):
            write_text(folder / 'kept.txt', 'new')
        with pytest.raises(OutputError, match='being written'), watching(tmp_path / 'out', refuse):
            pass
    write_text(folder / 'c.txt', 'text')
    assert seen == [('a.txt', 'text'), ('kept.txt', 'new')]
    assert (folder / 'kept.txt').read_text() == 'old'
    assert not any(is_partial(path) and path.name != '.b.partial.json' for path in folder.iterdir())


def test_require_other_file__by_whatever_name(tmp_path):
    (tmp_path / 'a.txt').write_text('')
    (tmp_path / 'link').symlink_to('a.txt')
    require_other_file(tmp_path / 'b.txt', tmp_path / 'a.txt')
    for name in ('a.txt', 'link', f'../{tmp_path.name}/a.txt'):
        with pytest.raises(OutputError, match='which it is made from; name another'):
            require_other_file(tmp_path / name, tmp_path / 'a.txt')


class DamagedError(UserError):
    """What the tests ask for."""


def _check(data: bytes) -> str | None:
    with (
        zip_errors_as(lambda error: DamagedError(str(error))),
        zipfile.ZipFile(io.BytesIO(data)) as file,
    ):
        return file.testzip()


@pytest.mark.parametrize(
    'method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damage__is_told_wherever_it_is(method):
    draws = random.Random(method)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as file:
        for number in range(3):
            file.writestr(f'part/{number}', bytes(draws.choices(range(40), k=300)))
    whole = buffer.getvalue()
    assert _check(whole) is None
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draws.choice((1, 3))):
            data[draws.randrange(len(data))] = draws.randrange(256)
        try:
            _check(bytes(data[: draws.choice((None, None, draws.randrange(len(data))))]))
        except DamagedError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOSPC, 'No space left on device'), UserError('a sentence')]
)
def test_damage__other_errors_pass(error):
    with pytest.raises(type(error)) as caught, zip_errors_as(lambda error: DamagedError('no')):
        raise error
    assert caught.value is error
