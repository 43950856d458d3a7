"""Whole jobs from the command line: what is printed, recorded, refused, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from support import bulk_jobs
from swinseg.cli import main
from swinseg.cli.segment import COMMAND
from swinseg.segment.bulk.manifest import Manifest

pytestmark = pytest.mark.slow


@pytest.fixture
def segment(checkpoint, tmp_path, monkeypatch, capsys):
    """A call of ``swinseg segment`` in a folder: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, device='cpu'):
        code = main(COMMAND, [str(checkpoint), '--device', device, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_list__with_missing_repeated_and_broken_entries(segment, tmp_path):
    bulk_jobs.draw(tmp_path / 'photos', 2)
    (tmp_path / 'photos' / 'torn.jpg').write_bytes(b'\xff\xd8\xff\xe0 no more')
    (tmp_path / 'list.txt').write_bytes(
        b'photos/0/0000.png\nphotos/none.png\nphotos/1/0001.png\n./photos/0/0000.png\n\n\xff\xfe\nphotos/torn.jpg\n'
        b'nowhere://bucket/a.jpg\n'
    )
    code, out, err = segment('@list.txt', '--out', 'out')
    assert (code, err) == (2, '')
    rows = {row['input'].rpartition('/')[2]: row for row in bulk_jobs.table('out/manifest')}
    errors = {name: row['error'] for name, row in rows.items() if row['state'] == 'failed'}
    assert errors == {
        'none.png': f'image {tmp_path}/photos/none.png does not exist; check the data folder and its '
        'suffixes',
        'list.txt, line 6': 'list.txt, line 6: the path or URL of an image is expected, but '
        "b'\\xff\\xfe' was found",
        'torn.jpg': f'image {tmp_path}/photos/torn.jpg is truncated: the JPEG file ends after 12 bytes without '
        'its end-of-image mark; copy it again or remove it from the set',
        'a.jpg': 'nowhere://bucket/a.jpg cannot be used, for nowhere:// is no kind of storage that fsspec knows; '
        'use a path, s3://, gs://, https:// or another of its kinds',
    }
    assert all(f'failed: {sentence}' in out for sentence in errors.values())
    assert f'list.txt, line 4: {tmp_path}/photos/0/0000.png was named before; it counts once' in out
    assert '2 inputs segmented, 4 failed' in out
    assert '1 entry names an input again' in out
    assert 'try the 4 again by the same command with --retry-failed' in out
    assert len(rows) == 6

    Image.new('RGB', (40, 40)).save('photos/none.png')
    assert segment('@list.txt', '--out', 'out')[0] == 2
    assert len([r for r in Manifest('out/manifest').rows() if r.state == 'failed']) == 4
    code, out, _ = segment('@list.txt', '--out', 'out', '--retry-failed')
    assert code == 2
    assert '3 inputs segmented, 3 failed (2 done before)' in out
    assert len(list(Manifest('out/manifest').rows())) == 6


def test_same_command__goes_on_with_more_inputs_and_other_settings_are_refused(segment, photos):
    (first, *_) = sorted(photos.rglob('*.png'))
    assert segment(photos / '0', '--out', 'out', '--workers', 1)[0] == 0
    before = bulk_jobs.contents(Path('out'))
    code, out, _ = segment(photos / '0', '--out', 'out', '--workers', 1)
    assert code == 0
    assert '4 inputs are finished from before; going on' in out
    assert 'weights from' not in out  # no model is loaded for nothing
    assert bulk_jobs.contents(Path('out')) == before
    code, _, err = segment(photos / '0', '--out', 'out', '--workers', 1, '--alpha', '0.3')
    assert code == 2
    assert err == (
        'error: out/manifest is the manifest of a job with other settings: alpha was 0.5 and is 0.3; give the '
        'same command again, or choose another --out and --manifest\n'
    )
    code, _, err = segment(first, '--out', 'out', '--manifest', 'elsewhere')
    assert code == 2
    assert err.startswith(
        'error: out holds files, but elsewhere no manifest of a job that could go on'
    )
    code, _, _ = segment(first, '--out', 'out', '--manifest', 'elsewhere', '--overwrite')
    assert code == 0
    assert [row['output'] for row in bulk_jobs.table('elsewhere')] == [first.name]
    record = json.loads(Path('elsewhere/_job.json').read_text())
    assert record['state'] == 'complete'
    assert record['settings']['out'] == os.path.abspath('out')


def test_max_failures__ends_the_job_with_its_sentence(segment, tmp_path):
    for number in range(9):
        (tmp_path / f'{number}.jpg').write_bytes(b'x')
    code, out, err = segment('*.jpg', '--out', 'out', '--workers', 1, '--max-failures', 2)
    assert code == 2
    assert err.startswith('error: ')
    assert 'inputs failed, and --max-failures 2 allows no more; the last one: image ' in err
    assert '0 inputs segmented, ' in out


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['.', '--workers', '1', '--sheet'], '--sheet is about all files together'),
        (
            ['.', '--annotations', 'cvat', '--manifest', 'm'],
            '--annotations is about all files together',
        ),
        (['.', '--retry-failed'], '--retry-failed is for bulk jobs'),
        (['--workers', '2'], 'the following arguments are required: INPUT'),
        (['--workers', '0', '.'], "1 or more, or 'auto', is expected, not '0'"),
        (['none', '--workers', '1'], 'none does not exist'),
        (['a.jpg', '--out', 'nowhere://x'], 'nowhere:// is no kind of storage that fsspec knows'),
        (['--list', 'none.csv'], 'none.csv does not exist'),
    ],
)
def test_arguments__that_make_no_job(arguments, sentence, segment, tmp_path):
    Image.new('RGB', (40, 40)).save(tmp_path / 'a.jpg')
    code, _, err = segment(*arguments)
    assert code == 2
    assert sentence in err
    assert err.count('\n') == 1
    assert not (tmp_path / 'masks' / 'manifest').exists()


def test_second_driver__is_refused(segment, photos):
    from filelock import FileLock

    os.makedirs('out/manifest')
    with FileLock('out/manifest/_lock'):
        code, _, err = segment(photos, '--out', 'out', '--workers', 1, '--overwrite')
    assert code == 2
    assert 'another process works on the job of out/manifest' in err


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows sends no SIGTERM')
def test_signal__ends_the_job_and_the_same_command_goes_on(checkpoint, tmp_path):
    bulk_jobs.draw(tmp_path / 'photos', 60)
    command = [
        sys.executable, '-m', 'swinseg', 'segment', checkpoint, tmp_path / 'photos', '--out', tmp_path / 'out',
        '--workers', '1', '--device', 'cpu',
    ]  # fmt: skip
    command = [str(part) for part in command]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Three are with the worker at a time.
    while len(list(tmp_path.glob('out/0/*_labels.png'))) < 5:
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate()
    assert driver.returncode == 143
    assert 'ended by SIGTERM after' in err
    assert err.rstrip().endswith('the same command goes on')
    before = len(list(Manifest(str(tmp_path / 'out/manifest')).rows()))
    assert 0 < before < 60
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(bulk_jobs.table(tmp_path / 'out/manifest')) == 60
    assert len(bulk_jobs.contents(tmp_path / 'out')) == 180
