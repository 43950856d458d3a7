"""Downloads that are interrupted, archives that are hostile, and ADE20K from a server of our own."""

import functools
import hashlib
import http.server
import io
import resource
import stat
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from swinseg.datasets.ade20k import ADE20K
from swinseg.datasets.prepare import PrepareError, prepare_ade20k
from swinseg.datasets.prepare.download import download, unpack_zip
from swinseg.files import OutputError

DATA = np.random.default_rng(0).bytes(300_000)
SHA1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``, and ends the first connections after ``server.cuts`` bytes each."""

    def do_GET(self):
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get('Range')
        self.server.ranges.append(asked)
        start = (
            int(asked.removeprefix('bytes=').rstrip('-')) if asked and self.server.resumes else 0
        )
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(data) - 1}/{len(data)}')
        self.send_header('Content-Length', str(len(data) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(data)
        self.wfile.write(data[start:end])

    def log_message(self, *arguments):
        """Be quiet."""


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        running.files = {'/a.zip': DATA}
        running.cuts, running.ranges, running.resumes = [], [], True
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.02))
        thread.start()
        running.url = f'http://127.0.0.1:{running.server_port}'
        yield running
        running.shutdown()
        thread.join()


def test_download__goes_on_where_the_connection_broke(server, tmp_path):
    server.cuts = [100_000, 0, 50_000]
    steps = []
    path = tmp_path / 'a.zip'
    download(f'{server.url}/a.zip', path, sha1=SHA1, progress=lambda *each: steps.append(each))
    assert path.read_bytes() == DATA
    assert server.ranges == [None, 'bytes=100000-', 'bytes=100000-', 'bytes=150000-']
    assert steps[-1] == (len(DATA), len(DATA))
    assert [each.name for each in tmp_path.iterdir()] == ['a.zip']


def test_download__goes_on_in_another_call(server, tmp_path):
    path = tmp_path / 'a.zip'
    server.cuts = [120_000, 0, 0]
    with pytest.raises(
        PrepareError, match='the connection ended early; what is there so far is kept'
    ):
        download(f'{server.url}/a.zip', path, sha1=SHA1, tries=2)
    assert not path.exists()
    download(f'{server.url}/a.zip', path, sha1=SHA1)
    assert server.ranges[-1] == 'bytes=120000-'
    assert path.read_bytes() == DATA
    served = len(server.ranges)
    download(f'{server.url}/a.zip', path, sha1=SHA1)
    assert len(server.ranges) == served


def test_download__from_a_server_that_always_begins_anew(server, tmp_path):
    server.resumes = False
    server.cuts = [200_000]
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', sha1=SHA1)
    assert (tmp_path / 'a.zip').read_bytes() == DATA


def test_download__all_was_there_but_for_the_name(server, tmp_path):
    (tmp_path / 'a.zip.part').write_bytes(DATA)
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', sha1=SHA1)
    assert (tmp_path / 'a.zip').read_bytes() == DATA


def test_download__another_file(server, tmp_path):
    with pytest.raises(PrepareError, match=f'has the SHA-1 {SHA1}, expected 00; it was removed'):
        download(f'{server.url}/a.zip', tmp_path / 'a.zip', sha1='00')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('{server}/b.zip', r'answers 404 Not Found'),
        ('file:///etc/hostname', 'needs an http or https address'),
        ('http://127.0.0.1:1/a.zip', 'cannot be downloaded: .*refused'),
    ],
)
def test_download__mistakes(server, tmp_path, url, message):
    with pytest.raises(PrepareError, match=message):
        download(url.format(server=server.url), tmp_path / 'a.zip', sha1=SHA1, tries=2)


def test_ade20k__no_room(server, tmp_path):
    server.files = {'/ade.zip': DATA}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r'cannot write .*/ade: File too large; 2 GB of room'):
            prepare_ade20k(tmp_path / 'ade', url=f'{server.url}/ade.zip', sha1=SHA1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


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


def ade20k_archive(counts):
    """Return the bytes of an archive in ADE20K's layout."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(buffer, 'w') as archive:
        for split, count in counts.items():
            for number in range(count):
                name = f'ADE_{split[:5]}_{number:08d}'
                for folder, suffix, pixels in (
                    ('images', 'jpg', rng.integers(0, 256, (8, 9, 3), np.uint8)),
                    ('annotations', 'png', rng.integers(0, 151, (8, 9), np.uint8)),
                ):
                    file = io.BytesIO()
                    Image.fromarray(pixels).save(file, {'jpg': 'JPEG', 'png': 'PNG'}[suffix])
                    archive.writestr(
                        f'ADEChallengeData2016/{folder}/{split}/{name}.{suffix}', file.getvalue()
                    )
    return buffer.getvalue()


def test_ade20k__download_unpack_verify(server, tmp_path):
    counts = {'training': 5, 'validation': 2}
    data = ade20k_archive(counts)
    server.files = {'/ade.zip': data}
    server.cuts = [len(data) // 2]
    get = functools.partial(
        prepare_ade20k, tmp_path / 'ade', url=f'{server.url}/ade.zip',
        sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    )  # fmt: skip
    with pytest.raises(PrepareError, match='has 5 training images with labels, expected 20210'):
        get()
    assert [path.name for path in tmp_path.iterdir()] == ['ADEChallengeData2016.zip']
    said = []
    line = get(counts=counts, progress=lambda what, done, total: said.append(what))
    assert line.startswith(f'{tmp_path}/ade: 5 training, 2 validation images with labels')
    # The archive was there already.
    assert set(said) == {'unpack'}
    assert server.ranges == [None, f'bytes={len(data) // 2}-']
    dataset = ADE20K(
        data_root=str(tmp_path / 'ade'),
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    )
    assert len(dataset) == 2
    with pytest.raises(PrepareError, match='exists and is not empty'):
        get(counts=counts)
