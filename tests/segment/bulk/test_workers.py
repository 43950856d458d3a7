"""Processes that do units, and die of some."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from support import bulk_jobs
from swinseg.segment import find_sources, segment_all
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.job import Job, run_job
from swinseg.segment.bulk.schedule import Schedule
from swinseg.segment.bulk.workers import LocalEngine

pytestmark = pytest.mark.slow


def run(checkpoint, out, *inputs, workers=1, segmenter=None, **job):
    setup = bulk_jobs.setup(checkpoint, out)
    options = {} if segmenter is None else {'segmenter': segmenter}
    engine = LocalEngine(setup, ['cpu'] * workers, **options)
    return run_job(Job([str(each) for each in inputs], **job), setup, engine)


def test_results__are_those_of_one_process(checkpoint, photos, tmp_path, monkeypatch):
    import torch

    from swinseg.models import prepare
    from swinseg.predictor import Predictor

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # By the clock it might choose others than the workers do.
    with prepare.fixed_kernels(prepare.usual_kernels(torch.float32)):
        predictor = Predictor.from_checkpoint(checkpoint, device='cpu')
    plain, out = tmp_path / 'plain', tmp_path / 'out'
    segment_all(predictor, find_sources([photos], out=plain), plain)
    torch.set_num_threads(before)
    summary = run(checkpoint, out, photos, workers=2)
    assert (summary.survey.done, summary.survey.failed) == (12, 0)
    expected = bulk_jobs.contents(plain)
    del expected['.swinseg-outputs.jsonl']
    # A name keeps its suffix, for whether another has the same stem is not known.
    found = {n.replace('.png_', '_'): value for n, value in bulk_jobs.contents(out).items()}
    assert found == expected
    assert [row['input'] for row in bulk_jobs.table(out / 'manifest')] == sorted(
        str(path) for path in photos.rglob('*.png')
    )


def test_poisoned_inputs__are_recorded_and_stop_no_other(checkpoint, tmp_path):
    bulk_jobs.draw(tmp_path / 'photos', 6)
    for name in ('crash', 'kill', 'much'):
        Image.new('RGB', (40, 40)).save(tmp_path / 'photos' / f'{name}.png')
    (tmp_path / 'photos' / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    out = tmp_path / 'out'
    summary = run(checkpoint, out, tmp_path / 'photos', segmenter=bulk_jobs.Poisonable, retries=1)
    assert (summary.survey.done, summary.survey.failed) == (6, 4)
    rows = {row['input'].rpartition('/')[2]: row for row in bulk_jobs.table(out / 'manifest')}
    errors = {name: row['error'] for name, row in rows.items() if row['error']}
    place = tmp_path / 'photos'
    assert errors.pop('broken.png').startswith(f'image {place / "broken.png"} is truncated')
    assert errors == {
        'crash.png': f'{place / "crash.png"} ended the process that worked on it 2 times, which was killed by '
        'SIGSEGV; look at the file, or leave it out',
        'kill.png': f'{place / "kill.png"} ended the process that worked on it 2 times, which was killed by '
        'SIGKILL, as for lack of memory; look at the file, or leave it out',
        'much.png': f'{place / "much.png"} does not fit the memory (MemoryError: 400 GB); segment it by windows, '
        'say --window 512',
    }
    assert len(bulk_jobs.contents(out)) == 18


def test_worker_killed_from_outside__changes_nothing(checkpoint, photos, tmp_path):
    expected = run(checkpoint, tmp_path / 'quiet', photos)
    killed = []

    class Engine(LocalEngine):
        def _wait(self, *arguments):
            super()._wait(*arguments)
            worker = self._workers[0]
            pid = worker.process.pid
            if worker.units and len(killed) < 2 and pid not in killed:
                killed.append(pid)
                time.sleep(0.05)
                os.kill(pid, signal.SIGKILL)

    out = tmp_path / 'out'
    setup = bulk_jobs.setup(checkpoint, out)
    summary = run_job(Job([str(photos)]), setup, Engine(setup, ['cpu']))
    assert len(killed) == 2
    assert (summary.survey.done, summary.survey.failed) == (expected.survey.done, 0)
    assert bulk_jobs.table(out / 'manifest') == bulk_jobs.table(tmp_path / 'quiet' / 'manifest')
    assert bulk_jobs.contents(out) == bulk_jobs.contents(tmp_path / 'quiet')


def test_scene__is_shared_by_all_workers(checkpoint, tmp_path, monkeypatch):
    np.save(
        tmp_path / 'scene.npy', np.random.default_rng(1).integers(0, 255, (400, 90, 3), np.uint8)
    )
    units = []

    class Recorder(Schedule):
        def give(self, unit, outcome):
            units.append((unit.band, type(outcome).__name__))
            super().give(unit, outcome)

    monkeypatch.setattr('swinseg.segment.bulk.job.Schedule', Recorder)
    for name, workers in (('alone', 1), ('shared', 2)):
        out = tmp_path / name
        setup = dataclasses.replace(
            bulk_jobs.setup(checkpoint, out, window=64),
            scratch=None if name == 'alone' else str(out / 'manifest' / '_bands'),
            shared_pixels=1, band_windows=2,
        )  # fmt: skip
        run_job(Job([str(tmp_path / 'scene.npy')]), setup, LocalEngine(setup, ['cpu'] * workers))
    assert [kind for _, kind in units].count('BandDone') == 4
    assert bulk_jobs.contents(tmp_path / 'shared') == bulk_jobs.contents(tmp_path / 'alone')
    assert bulk_jobs.table(tmp_path / 'shared/manifest') == bulk_jobs.table(
        tmp_path / 'alone/manifest'
    )
    assert not (tmp_path / 'shared' / 'manifest' / '_bands').exists()


def test_model_that_cannot_be_loaded__is_one_sentence(photos, tmp_path):
    with pytest.raises(BulkError, match=r'none\.pth'):
        run(tmp_path / 'none.pth', tmp_path / 'out', photos)
