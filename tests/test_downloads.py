"""Downloads that are interrupted, killed, at once, refused, led elsewhere or of another version."""

import errno
import hashlib
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from support import hub_server
from swinseg import downloads
from swinseg.downloads import Checksum, DownloadError, download
from swinseg.files import OutputError

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = Checksum('sha256', hashlib.sha256(DATA).hexdigest())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(downloads, '_FIRST_PAUSE_SECONDS', 0.0)
    monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)


@pytest.fixture
def server():
    with hub_server.running() as running:
        running.content.files['/a.zip'] = DATA
        yield running


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('checksum', [SHA256, None], ids=['checksum', 'etag'])
def test_download__goes_on_where_the_connection_broke(server, tmp_path, checksum):
    server.content.cuts = [100_000, 0, 50_000]
    steps = []
    path = tmp_path / 'a.zip'
    download(
        f'{server.url}/a.zip',
        path,
        checksum=checksum,
        progress=lambda *each: steps.append(each),
    )
    assert path.read_bytes() == DATA
    expected = [None, 'bytes=100000-', 'bytes=100000-', 'bytes=150000-']
    assert server.ranges('/a.zip') == expected
    assert steps[-1] == (len(DATA), len(DATA))
    assert names(tmp_path) == ['a.zip']


@pytest.mark.parametrize('checksum', [SHA256, None], ids=['checksum', 'etag'])
def test_download__goes_on_in_another_call(server, tmp_path, checksum):
    path = tmp_path / 'a.zip'
    server.content.cuts = [120_000, 0, 0]
    with pytest.raises(
        DownloadError,
        match='the connection ended early, 120,000 of 300,000 bytes arrived; what is there so far is kept',
    ):
        download(f'{server.url}/a.zip', path, checksum=checksum, tries=2)
    assert not path.exists()
    download(f'{server.url}/a.zip', path, checksum=checksum)
    assert server.ranges('/a.zip')[-1] == 'bytes=120000-'
    assert path.read_bytes() == DATA
    asked = len(server.content.requests)
    download(f'{server.url}/a.zip', path, checksum=checksum)
    assert len(server.content.requests) == asked


def test_download__a_kill_in_the_middle_fetches_no_byte_twice(server, tmp_path):
    path, part = tmp_path / 'a.zip', tmp_path / 'a.zip.part'
    server.content.stall_after['/a.zip'] = 123_456
    code = (
        'import sys; from pathlib import Path; from swinseg.downloads import download; '
        'download(sys.argv[1], Path(sys.argv[2]))'
    )
    process = subprocess.Popen([sys.executable, '-c', code, f'{server.url}/a.zip', str(path)])
    try:
        deadline = time.monotonic() + 120
        while not part.exists() or part.stat().st_size < 123_456:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    server.content.stall_after.clear()
    download(f'{server.url}/a.zip', path)
    assert path.read_bytes() == DATA
    assert server.content.sent['/a.zip'] == len(DATA)
    assert names(tmp_path) == ['a.zip']


def test_download__another_version_since_then(server, tmp_path):
    path = tmp_path / 'a.zip'
    server.content.cuts = [120_000, 0]
    with pytest.raises(DownloadError):
        download(f'{server.url}/a.zip', path, tries=1)
    server.content.files['/a.zip'] = DATA[::-1]
    server.content.cuts = []
    download(f'{server.url}/a.zip', path)
    assert path.read_bytes() == DATA[::-1]


def test_download__another_version_that_only_the_checksum_tells(server, tmp_path):
    server.content.tags = False
    (tmp_path / 'a.zip.part').write_bytes(b'of another file')
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', checksum=SHA256)
    assert (tmp_path / 'a.zip').read_bytes() == DATA
    assert server.ranges('/a.zip') == ['bytes=15-', None]


def test_download__nothing_tells_the_version(server, tmp_path):
    server.content.tags = False
    server.content.cuts = [120_000]
    download(f'{server.url}/a.zip', tmp_path / 'a.zip')
    assert server.ranges('/a.zip') == [None, None]
    assert (tmp_path / 'a.zip').read_bytes() == DATA
    server.content.cuts = [120_000, 0]
    with pytest.raises(DownloadError, match='start again later'):
        download(f'{server.url}/a.zip', tmp_path / 'b.zip', tries=1)
    assert names(tmp_path) == ['.b.zip.lock', 'a.zip']


def test_download__from_a_server_that_always_begins_anew(server, tmp_path):
    server.content.resumes = False
    server.content.cuts = [200_000]
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', checksum=SHA256)
    assert (tmp_path / 'a.zip').read_bytes() == DATA


def test_download__all_was_there_but_for_the_name(server, tmp_path):
    (tmp_path / 'a.zip.part').write_bytes(DATA)
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', checksum=SHA256)
    assert (tmp_path / 'a.zip').read_bytes() == DATA
    assert '/a.zip' not in server.content.sent


def test_download__wrong_checksum(server, tmp_path):
    with pytest.raises(
        DownloadError,
        match=f'its SHA-256 is {SHA256.digits[:8]}, expected 00; what arrived was removed',
    ):
        download(f'{server.url}/a.zip', tmp_path / 'a.zip', checksum=Checksum('sha256', '00'))
    assert names(tmp_path) == ['.a.zip.lock']


def test_download__at_once(server, tmp_path):
    calls = [
        threading.Thread(target=download, args=(f'{server.url}/a.zip', tmp_path / 'a.zip'))
        for _ in range(4)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert (tmp_path / 'a.zip').read_bytes() == DATA
    assert server.content.sent['/a.zip'] == len(DATA)


def test_download__tries_a_busy_server_again(server, tmp_path, monkeypatch):
    server.content.statuses['/a.zip'] = 503
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        server.content.statuses.clear()

    monkeypatch.setattr(downloads, 'time', SimpleNamespace(sleep=pause))
    download(f'{server.url}/a.zip', tmp_path / 'a.zip')
    assert len(pauses) == 1
    assert len(server.content.requests) == 3


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('{server}/b.zip', 'the server answers 404 Not Found; check the address'),
        ('{server}/login', 'the server answers 401 Unauthorized; it is not for everybody'),
        ('{server}/busy', 'the server answers 503 Service Unavailable; start again later'),
        ('{server}/local', 'the server leads to ftp://127.0.0.1/a, which is not followed'),
        ('file:///etc/hostname', 'an http or https address is needed'),
        ('http://127.0.0.1:1/a.zip', 'refused; start again later'),
        ('http://nowhere.invalid/a.zip', 'nowhere.invalid is not found, so there is no network'),
    ],
)
def test_download__mistakes(server, tmp_path, url, message):
    server.content.statuses.update({'/login': 401, '/busy': 503})
    server.content.redirections['/local'] = 'ftp://127.0.0.1/a'
    with pytest.raises(DownloadError, match=message) as caught:
        download(url.format(server=server.url), tmp_path / 'a.zip', tries=2)
    assert '\n' not in str(caught.value)
    assert not [name for name in names(tmp_path) if not name.endswith('.lock')]


def test_download__offline_by_the_users_word(server, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(DownloadError, match='HF_HUB_OFFLINE is set, and the file is not here'):
        download(f'{server.url}/a.zip', tmp_path / 'a.zip')
    assert server.content.requests == []
    (tmp_path / 'a.zip').write_bytes(DATA)
    download(f'{server.url}/a.zip', tmp_path / 'a.zip', checksum=SHA256)


def test_download__a_redirection_keeps_the_secret_to_its_host(server, tmp_path):
    with hub_server.running() as other:
        other.content.files['/a.zip'] = DATA
        server.content.redirections.update(
            {'/here': f'{server.url}/a.zip', '/there': f'{other.url}/a.zip'}
        )
        for name in ('here', 'there'):
            headers = {'Authorization': 'Bearer secret'}
            download(f'{server.url}/{name}', tmp_path / name, headers=headers)
            assert (tmp_path / name).read_bytes() == DATA
        assert [each.token for each in server.content.requests] == ['Bearer secret'] * 3
        assert [each.token for each in other.content.requests] == [None]


def test_download__no_room_before_it_begins(server, tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100_000)
    monkeypatch.setattr(downloads.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(OutputError, match=r'300\.0 kB are needed on its disk, 100\.0 kB are free'):
        download(f'{server.url}/a.zip', tmp_path / 'a.zip')
    assert names(tmp_path) == ['.a.zip.lock']


def test_download__the_folder_cannot_be_written(server, tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(downloads.Path, 'touch', refuse)
    with pytest.raises(OutputError, match='Read-only file system; choose another folder'):
        download(f'{server.url}/a.zip', tmp_path / 'a.zip')


class Terminal:
    """Collects what is written, as a terminal."""

    def __init__(self):
        self.text = ''

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_download__draws_a_bar_on_a_terminal_alone(server, tmp_path, monkeypatch, capsys):
    download(f'{server.url}/a.zip', tmp_path / 'a.zip')
    assert capsys.readouterr() == ('', '')
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    download(f'{server.url}/a.zip', tmp_path / 'b.zip')
    assert terminal.text.endswith('100% of 300.0 kB\n')
    assert 'b.zip  [' in terminal.text
