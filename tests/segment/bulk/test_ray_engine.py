"""Actors of Ray that do units: what the processes of this machine do, and what no cluster is asked for in vain."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
from PIL import Image

from support import bulk_jobs
from support.scripts import run
from swinseg.segment.bulk import ray_engine
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.inputs import Input
from swinseg.segment.bulk.job import Job, run_job
from swinseg.segment.bulk.ray_engine import RayEngine
from swinseg.segment.bulk.schedule import Schedule
from swinseg.segment.bulk.workers import LocalEngine

ray = pytest.importorskip('ray', reason="ray is not installed: pip install 'swinseg[ray]'")

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def local_ray():
    """A Ray of this machine for all tests, for it takes seconds to begin."""
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False,
        logging_level='ERROR', runtime_env={'env_vars': {'PYTHONPATH': os.pathsep.join(sys.path)}},
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(scope='module')
def quiet(checkpoint, photos, tmp_path_factory):
    """The folder of an undisturbed job of processes of this machine."""
    out = tmp_path_factory.mktemp('quiet') / 'out'
    setup = bulk_jobs.setup(checkpoint, out)
    run_job(Job([str(photos)]), setup, LocalEngine(setup, ['cpu']))
    return out


def by_ray(checkpoint, out, inputs, *, workers=2, address='local', segmenter=None, **job):
    setup = bulk_jobs.setup(checkpoint, out)
    options = {} if segmenter is None else {'segmenter': segmenter}
    return run_job(Job([str(inputs)], **job), setup, RayEngine(setup, workers, address, **options))


def assert_same(out, expected):
    """The files of the results and the rows of the manifest are the same."""
    assert bulk_jobs.contents(out) == bulk_jobs.contents(expected)
    assert bulk_jobs.table(out / 'manifest') == bulk_jobs.table(expected / 'manifest')


def actors():
    """Return the processes that are workers of the job."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.is_running() and child.name().startswith('ray::_Worker')
    ]


def test_results__are_those_of_processes(local_ray, checkpoint, photos, quiet, tmp_path):
    summary = by_ray(checkpoint, tmp_path / 'out', photos)
    assert (summary.survey.done, summary.survey.failed) == (12, 0)
    assert_same(tmp_path / 'out', quiet)


@pytest.mark.full
def test_workers_killed__change_nothing(local_ray, checkpoint, photos, quiet, tmp_path):
    killed, is_over = [], threading.Event()

    def kill():
        while len(killed) < 2 and not is_over.wait(0.02):
            manifest = tmp_path / 'out' / 'manifest'
            for process in actors()[:1] if manifest.exists() else ():
                if process.pid not in killed and any((tmp_path / 'out').glob('*/*')):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    time.sleep(0.2)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        summary = by_ray(checkpoint, tmp_path / 'out', photos, workers=1)
    finally:
        is_over.set()
        thread.join()
    assert killed
    assert (summary.survey.done, summary.survey.failed) == (12, 0)
    assert_same(tmp_path / 'out', quiet)


@pytest.mark.full
def test_poisoned_inputs__are_recorded_and_stop_no_other(local_ray, checkpoint, tmp_path):
    bulk_jobs.draw(tmp_path / 'photos', 4)
    for name in ('crash', 'much'):
        Image.new('RGB', (40, 40)).save(tmp_path / 'photos' / f'{name}.png')
    summary = by_ray(
        checkpoint, tmp_path / 'out', tmp_path / 'photos', segmenter=bulk_jobs.Poisonable, retries=1
    )
    assert (summary.survey.done, summary.survey.failed) == (4, 2)
    rows = {
        row['input'].rpartition('/')[2]: row
        for row in bulk_jobs.table(tmp_path / 'out' / 'manifest')
    }
    assert rows['crash.png']['error'].endswith(
        'crash.png ended the process that worked on it 2 times, which ended, or its machine did; look at the '
        'file, or leave it out'
    )
    assert 'does not fit the memory' in rows['much.png']['error']


@pytest.mark.full
def test_model_that_cannot_be_loaded__is_one_sentence(local_ray, photos, tmp_path):
    with pytest.raises(BulkError, match=r'none\.pth'):
        by_ray(tmp_path / 'none.pth', tmp_path / 'out', photos)


@pytest.mark.parametrize(
    ('address', 'sentence'),
    [
        ('127.0.0.1:1', r'no Ray cluster answers at 127\.0\.0\.1:1 \(Connection refused\); say where its head is'),
        ('ray://127.0.0.1:1', r'no Ray cluster answers at ray://127\.0\.0\.1:1 '),
        ('127.0.0.1:999999', r'no Ray cluster answers at 127\.0\.0\.1:999999 '),
    ],
)  # fmt: skip
def test_cluster_that_is_not_there(checkpoint, photos, tmp_path, capsys, address, sentence):
    code = run(
        'segment', checkpoint, photos, '--out', tmp_path / 'out', '--device', 'cpu', '--engine', 'ray',
        '--ray-address', address,
    )  # fmt: skip
    assert code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert re.search(sentence, line)


def test_cluster_without_room__is_said(local_ray, checkpoint, photos, tmp_path, monkeypatch):
    """It may grow, so the job waits; here it ends at the tick after the sentence."""
    monkeypatch.setattr(ray_engine, '_LONG_SECONDS', 0.0)
    setup = replace(bulk_jobs.setup(checkpoint, tmp_path / 'out'), threads=64)
    schedule = Schedule(iter([Input(str(photos), 'a')]), on_row=print)
    assert schedule.has_work()

    def stop():
        raise KeyboardInterrupt

    with (
        pytest.warns(UserWarning, match='each wants 64 cores, and the cluster has 0 GPUs and 2 cores in all'),
        pytest.raises(KeyboardInterrupt),
    ):  # fmt: skip
        RayEngine(setup, 1).run(schedule, tick=stop, on_model=print)
