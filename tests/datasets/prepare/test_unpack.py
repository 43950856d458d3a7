"""Archives that are hostile or damaged."""

import stat
import zipfile

import numpy as np
import pytest

from swinseg.datasets.prepare.source import PrepareError
from swinseg.datasets.prepare.unpack import unpack_zip

DATA = np.random.default_rng(0).bytes(1000)


def archive_of(path, *entries):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def unpack(archive, folder, **limits):
    folder.mkdir()
    unpack_zip(archive, folder, **{'most_bytes': 1000, 'most_files': 5, **limits})


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    'entry', ['../out.txt', '/tmp/out.txt', 'a/../../out.txt', '..\\out.txt', 'C:\\out.txt', link('a')],
    ids=str,
)  # fmt: skip
def test_unpack_zip__a_hostile_entry_unpacks_nothing(tmp_path, entry):
    archive = archive_of(tmp_path / 'a.zip', ('fine.txt', b'1'), (entry, b'/etc'))
    with pytest.raises(PrepareError, match='a link or a name that leads out of its folder'):
        unpack(archive, tmp_path / 'in')
    assert not list((tmp_path / 'in').iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.zip', 'in']


def test_unpack_zip__limits(tmp_path):
    bomb = archive_of(tmp_path / 'a.zip', ('zeros', bytes(10_000_000)))
    with pytest.raises(PrepareError, match='has 1 entries of 10000000 bytes, expected 5 and 1000'):
        unpack(bomb, tmp_path / 'b')
    many = archive_of(tmp_path / 'c.zip', *((f'{i}', b'') for i in range(6)))
    with pytest.raises(PrepareError, match='has 6 entries of 0 bytes'):
        unpack(many, tmp_path / 'd')


def test_unpack_zip__damage(tmp_path):
    good = archive_of(tmp_path / 'a.zip', ('x', DATA[:500])).read_bytes()
    (tmp_path / 'a.zip').write_bytes(good.replace(DATA[100:110], b'0123456789'))
    with pytest.raises(PrepareError, match=r'is damaged or no zip archive: .*CRC'):
        unpack(tmp_path / 'a.zip', tmp_path / 'b')
    (tmp_path / 'a.zip').write_bytes(b'<html>')
    with pytest.raises(PrepareError, match='is damaged or no zip archive'):
        unpack(tmp_path / 'a.zip', tmp_path / 'c')


def test_unpack_zip__damage_of_a_compressed_entry(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x', bytes(range(256)) * 3)
    data = bytearray((tmp_path / 'a.zip').read_bytes())
    data[31] = (
        0xFF  # The first byte of the stream, behind a header of 30 and a name of 1: no such kind of block.
    )
    (tmp_path / 'a.zip').write_bytes(data)
    with pytest.raises(PrepareError, match=r'is damaged or no zip archive: .*decompressing'):
        unpack(tmp_path / 'a.zip', tmp_path / 'b')
