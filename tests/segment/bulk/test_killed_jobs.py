"""Thousands of pictures, and kills of workers and of the driver at random moments."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from support import bulk_jobs

IMAGES = int(os.environ.get('SWINSEG_BULK_IMAGES', '2000'))
KILLS = int(os.environ.get('SWINSEG_KILLS', '10'))


def start(checkpoint, photos, out, *arguments):
    command = [
        sys.executable, '-m', 'swinseg', 'segment', checkpoint, photos, '--out', out, '--device', 'cpu',
        '--workers', '2', '--threads', '1', *arguments,
    ]  # fmt: skip
    return subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def workers_of(driver):
    """Return the processes with a model: children of the small process that they are copies of."""
    try:
        below = psutil.Process(driver.pid).children()
        return [worker for each in below for worker in each.children()]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.full
@pytest.mark.skipif(sys.platform != 'linux', reason='workers are found as Linux starts them')
def test_kills__change_no_file_and_no_row(checkpoint, tmp_path):
    photos = tmp_path / 'photos'
    bulk_jobs.draw(photos, IMAGES)
    began = time.monotonic()
    undisturbed = start(checkpoint, photos, tmp_path / 'quiet')
    output, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, output
    print(f'{IMAGES} images undisturbed: {time.monotonic() - began:.0f} s')
    rng = random.Random(0)
    out, killed = tmp_path / 'out', {'driver': 0, 'worker': 0}
    began = time.monotonic()
    driver = start(checkpoint, photos, out)
    while sum(killed.values()) < KILLS:
        workers = workers_of(driver)
        is_busy = len(list(out.glob('0/*_labels.png'))) > 0 and len(workers) == 2
        if driver.poll() is None and not is_busy:
            time.sleep(0.2)
            continue
        assert driver.poll() is None, f'the job ended after {killed}: {driver.stdout.read()}'
        time.sleep(rng.uniform(0.5, 6))
        if sum(killed.values()) % 2:
            victims = workers_of(driver)
            if not victims:
                continue
            os.kill(rng.choice(victims).pid, signal.SIGKILL)
            killed['worker'] += 1
        else:
            driver.kill()
            driver.communicate()
            killed['driver'] += 1
            driver = start(checkpoint, photos, out)
    output, _ = driver.communicate()
    assert driver.returncode == 0, output
    print(f'with {killed}: {time.monotonic() - began:.0f} s')
    rows = bulk_jobs.table(out / 'manifest')
    assert len(rows) == len({row['input'] for row in rows}) == IMAGES
    assert rows == bulk_jobs.table(tmp_path / 'quiet' / 'manifest')
    assert bulk_jobs.contents(out) == bulk_jobs.contents(tmp_path / 'quiet')
