"""Files at addresses: this machine's, fsspec's memory and HTTP file systems, and a server that speaks S3."""

from __future__ import annotations

import http.server
import threading
import uuid

import pytest

from support import bulk_jobs
from support.static_server import served_folder
from swinseg.files import OutputError
from swinseg.segment.bulk import remote
from swinseg.segment.bulk.inputs import Inputs
from swinseg.segment.bulk.job import Job, run_job
from swinseg.segment.bulk.remote import StorageError
from swinseg.segment.bulk.storage import TargetError, place_of
from swinseg.segment.bulk.work import Segmenter, Stop, Unit
from swinseg.segment.bulk.workers import LocalEngine


@pytest.fixture(scope='module')
def s3(tmp_path_factory):
    """A server that speaks S3 with an empty bucket ``data``, and the environment that leads to it."""
    pytest.importorskip('moto.server', reason='moto is not installed')
    pytest.importorskip('s3fs', reason='s3fs is not installed')
    with pytest.MonkeyPatch.context() as patch, bulk_jobs.s3_server() as server:
        patch.setenv('AWS_ACCESS_KEY_ID', 'testing')
        patch.setenv('AWS_SECRET_ACCESS_KEY', 'testing')
        patch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
        patch.setenv('AWS_ENDPOINT_URL', f'http://127.0.0.1:{server._server.server_port}')
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir('data')
        yield server
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(remote, 'PAUSES', (0.01, 0.02))


@pytest.fixture(params=['local', 'memory', 's3'])
def place(request, tmp_path):
    if request.param == 's3':
        request.getfixturevalue('s3')
        return place_of(f's3://data/{uuid.uuid4().hex}/out')
    return place_of(
        tmp_path / 'out' if request.param == 'local' else f'memory://{uuid.uuid4().hex}/out'
    )


def test_place__gives_what_was_put(place, tmp_path):
    assert place.is_empty()
    assert place.names() == []
    place.check()
    assert place.names() == []
    place.write('b.bin', b'first')
    place.write('b.bin', b'second')
    (tmp_path / 'file').write_bytes(b'third')
    place.put('a.bin', tmp_path / 'file')
    place.write('sub/folder/c.bin', b'')
    assert place.names() == ['a.bin', 'b.bin']
    assert [place.read(n) for n in ('a.bin', 'b.bin', 'sub/folder/c.bin', 'd')] == [
        b'third', b'second', b'', None,
    ]  # fmt: skip
    assert not place.is_empty()
    with place.beginning('sub/e.jpg') as (folder, stem):
        (folder / f'{stem}_labels.png').write_bytes(b'labels')
    assert place.read('sub/e.jpg_labels.png') == b'labels'
    place.remove('a.bin')
    place.remove('a.bin')
    assert place.names() == ['b.bin']


def test_local_place__removes_what_kills_left_but_the_rows_of_scenes(tmp_path):
    place = place_of(tmp_path)
    names = (
        'sub/.a_labels.77.partial.png',
        'sub/.a_labels.78.partial.png',
        '.b.tif.partial.labels',
        'c.png',
    )
    for name in names:
        place.write(name, b'x')
    place.remove_partial_files('sub/a.png', pid=77)
    assert [place.read(name) for name in names] == [None, b'x', b'x', b'x']
    place.remove_partial_files()
    assert [place.read(name) for name in names] == [None, None, b'x', b'x']


@pytest.mark.parametrize(
    ('address', 'sentence'),
    [
        ('nonsense://bucket/a.jpg', r'nonsense:// is no kind of storage that fsspec knows'),
        ('gs://bucket/a.jpg', r'the package for gs:// is not installed: pip install gcsfs'),
        ('memory://nowhere/a.jpg', r'memory://nowhere/a.jpg does not exist'),
    ],
)
def test_fetch__says_what_is_missing(address, sentence, tmp_path):
    with pytest.raises(StorageError, match=sentence):
        remote.fetch(address, tmp_path)


def test_http__files_and_folders(tmp_path, short_pauses):
    pytest.importorskip('aiohttp')
    bulk_jobs.draw(tmp_path / 'photos', 3)
    (tmp_path / 'photos' / 'list.txt').write_text('x')
    with served_folder(tmp_path) as address:
        found = list(Inputs([f'{address}photos/']))
        assert [each.name for each in found] == ['0/0000.png', '1/0001.png', '2/0002.png']
        path = remote.fetch(found[0].address, tmp_path)
        assert path.read_bytes() == (tmp_path / 'photos/0/0000.png').read_bytes()
        with pytest.raises(StorageError, match=r'none\.png does not exist'):
            remote.fetch(f'{address}none.png', tmp_path)
        with pytest.raises(TargetError, match='which http:// does not offer'):
            place_of(f'{address}out').check()
    with pytest.raises(StorageError, match=r'the storage did not answer in 3 attempts'):
        remote.fetch(f'{address}photos/0/0000.png', tmp_path)


class _Moody(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses of its list, one after the other, and then with a byte."""

    statuses: list[int]

    def do_GET(self):
        status = self.statuses.pop(0) if self.statuses else 200
        self.send_response(status)
        self.send_header('Content-Length', '1')
        self.end_headers()
        self.wfile.write(b'x')

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize(
    ('statuses', 'sentence'),
    [
        ([503, 500], None),
        ([429], None),
        ([503] * 9, 'did not answer in 3 attempts'),
        ([403] * 9, 'permission denied'),
        ([401], 'permission denied'),
    ],
)
def test_http__status_that_may_pass_or_not(statuses, sentence, tmp_path, short_pauses):
    pytest.importorskip('aiohttp')
    handler = type('Handler', (_Moody,), {'statuses': list(statuses)})
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}/a.jpg'
    try:
        if sentence is None:
            assert remote.fetch(address, tmp_path).read_bytes() == b'x'
        else:
            with pytest.raises(StorageError, match=sentence):
                remote.fetch(address, tmp_path)
    finally:
        server.shutdown()
        server.server_close()


def test_remote_input_and_output__give_the_files_of_local_ones(checkpoint, photos, tmp_path):
    import fsspec

    memory = fsspec.filesystem('memory')
    memory.put(str(photos), '/in/photos', recursive=True)
    (address,) = (
        each
        for each in Inputs(['memory://in/photos/'])
        if each.name.endswith('0.png') and '0000' in each.name
    )
    local = Segmenter(bulk_jobs.setup(checkpoint, tmp_path / 'out'), 'cpu')
    remote = Segmenter(bulk_jobs.setup(checkpoint, 'memory://results'), 'cpu')
    here = local(Unit(str(photos / '0' / '0000.png'), '0/0000.png'))
    there = remote(Unit(address.address, address.name))
    assert (here.files, here.classes, here.output) == (there.files, there.classes, there.output)
    for ending in here.files:
        path = tmp_path / 'out' / f'0/0000.png{ending}'
        assert memory.cat(f'/results/0/0000.png{ending}') == path.read_bytes()
    missing = remote(Unit('memory://in/none.png', 'none.png'))
    assert (missing.state, missing.error[:40]) == (
        'failed',
        'memory://in/none.png does not exist; che',
    )


def test_broken_remote_image__is_named_by_its_address(checkpoint, segmenter):
    import fsspec

    fsspec.filesystem('memory').pipe('/in/broken.jpg', b'\xff\xd8\xff\xe0 no more')
    row = segmenter(Unit('memory://in/broken.jpg', 'broken.jpg'))
    assert row.error.startswith('image memory://in/broken.jpg is truncated')


@pytest.mark.slow
def test_s3__a_job_with_the_server_away_in_its_middle(s3, checkpoint, photos, tmp_path):
    import s3fs

    s3fs.S3FileSystem().put(str(photos), 'data/photos', recursive=True)
    setup = bulk_jobs.setup(checkpoint, 's3://data/masks')
    port = s3._server.server_port
    bulk_jobs.in_a_while(0.7, s3.stop)
    bulk_jobs.in_a_while(2.5, lambda: _restart(s3, port))
    summary = run_job(Job(['s3://data/photos/']), setup, LocalEngine(setup, ['cpu']))
    assert (summary.survey.done, summary.survey.failed, summary.error) == (12, 0, None)
    local = bulk_jobs.setup(checkpoint, tmp_path / 'out')
    run_job(Job([str(photos)]), local, LocalEngine(local, ['cpu']))
    s3fs.S3FileSystem().get('data/masks', str(tmp_path / 'masks'), recursive=True)
    assert bulk_jobs.contents(tmp_path / 'masks') == bulk_jobs.contents(tmp_path / 'out')
    rows = bulk_jobs.table('s3://data/masks/manifest')
    assert [row['output'] for row in rows] == [
        row['output'] for row in bulk_jobs.table(tmp_path / 'out' / 'manifest')
    ]


def _restart(server, port):
    server._port = port
    server._server_ready = False
    server.start()


def test_s3__a_bucket_that_is_not_there(s3, segmenter, short_pauses):
    with pytest.raises(OutputError, match=r's3://nobodys/masks/.*'):
        place_of('s3://nobodys/masks').check()
    row = segmenter(Unit('s3://nobodys/a.jpg', 'a.jpg'))
    assert row.error == 's3://nobodys/a.jpg does not exist; check the address'


def test_s3__a_bucket_without_permission(s3, segmenter, checkpoint, photos, monkeypatch):
    import s3fs

    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        place = place_of('s3://data/masks')
        with pytest.raises(
            TargetError, match=r's3://data/masks/.* cannot be written: permission denied'
        ):
            place.check()
        remote = Segmenter(bulk_jobs.setup(checkpoint, 's3://data/masks'), 'cpu')
        outcome = remote(Unit(str(photos / '0' / '0000.png'), 'a.png'))
        assert isinstance(outcome, Stop)
        assert 'permission denied' in outcome.error
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
