"""One training in a work directory at a time, whatever becomes of the one that holds it."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from support import processes, scripts
from support.killed_training import start_training
from support.training import NO_VALIDATION
from swinseg import cli
from swinseg.engine import evaluate, load_config, train, work_dir_lock
from swinseg.engine.work_dir_lock import (
    LOCK_FILE,
    Holder,
    WorkDirLock,
    WorkDirLockedError,
    locked_work_dir,
)
from swinseg.files import OutputError

WAIT_SECONDS = 60


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(work_dir_lock, 'STALE_SECONDS', 0.5)
    monkeypatch.setattr(work_dir_lock, 'RENEWAL_SECONDS', 0.05)
    monkeypatch.setattr(work_dir_lock, '_LOOK_SECONDS', 0.02)


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def write_lock(folder: Path, **changes: object) -> Path:
    """Write the lock of a process as this one, but for what is changed."""
    holder = dataclasses.asdict(Holder.here()) | changes
    (folder / LOCK_FILE).write_text(json.dumps(holder))
    return folder / LOCK_FILE


def taken(folder: Path) -> list[str]:
    """Take and release the lock, and return what was said meanwhile."""
    said: list[str] = []
    lock = WorkDirLock(folder)
    lock.take(said.append)
    assert json.loads((folder / LOCK_FILE).read_text())['pid'] == os.getpid()
    lock.release()
    assert list(folder.iterdir()) == []
    return said


def test_locked_work_dir__holds_it_within_the_block_and_says_who(tmp_path):
    sentence = (
        rf'{tmp_path} is the work directory of a training that runs, process {os.getpid()} on '
    )
    with locked_work_dir(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
        with pytest.raises(WorkDirLockedError, match=sentence), locked_work_dir(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), locked_work_dir(tmp_path):
        raise ZeroDivisionError
    assert taken(tmp_path) == []


def test_locked_work_dir__by_two_spellings(tmp_path, monkeypatch):
    (tmp_path / 'work' / 'sub').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('work')
    monkeypatch.chdir(tmp_path / 'work' / 'sub')
    with locked_work_dir(tmp_path / 'work'):
        for spelling in ('..', tmp_path / 'link', '../../work/sub/..'):
            with pytest.raises(WorkDirLockedError), locked_work_dir(spelling):
                pass


def test_take__a_folder_that_takes_no_files(tmp_path):
    (tmp_path / 'file').touch()
    for folder in (tmp_path / 'file', tmp_path / 'missing'):
        with pytest.raises(OutputError, match=r'cannot write .*training\.lock: '):
            WorkDirLock(folder).take()


def test_take__without_hard_links(tmp_path, monkeypatch):
    def no_links(source, target):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'link', no_links)
    assert taken(tmp_path) == []
    write_lock(tmp_path)
    with pytest.raises(WorkDirLockedError):
        taken(tmp_path)


@pytest.mark.parametrize('changes', [{'began': '1'}, {'pid': 2**22 + 1}, {'pid': 2**80}], ids=str)
def test_take__of_a_process_of_this_machine_that_is_gone(tmp_path, changes):
    # Its number may be another's by now.
    write_lock(tmp_path, **changes)
    assert taken(tmp_path) == []


@pytest.mark.parametrize(
    'changes', [{'host': 'elsewhere'}, {'machine': 'another boot'}, {'machine': None}], ids=str
)
def test_take__of_another_machine(tmp_path, impatient, changes):
    path = write_lock(tmp_path, **changes)
    os.utime(path, (time.time() - 9, time.time() - 9))
    assert taken(tmp_path) == []
    # A machine that has broken down a moment ago.
    write_lock(tmp_path, **changes)
    (said,) = taken(tmp_path)
    assert re.search(r'training\.lock is the lock of process \d+ on .*; waiting up to \d s', said)
    # One that goes on.
    path = write_lock(tmp_path, **changes)
    ended = threading.Event()

    def renew():
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(WorkDirLockedError, match=f'process {os.getpid()} on'):
            taken(tmp_path)
    finally:
        ended.set()
        thread.join()
    assert [each.name for each in tmp_path.iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize(
    'content',
    [b'', b'\x00\xff', b'{"host": "a"}', b'[' * 9999, b'{"pid": {}}', b'null', b'x' * 10**6],
    ids=repr,
)  # fmt: skip
def test_take__a_lock_that_is_garbage(tmp_path, impatient, content):
    path = tmp_path / LOCK_FILE
    path.write_bytes(content)
    os.utime(path, (time.time() - 9, time.time() - 9))
    assert taken(tmp_path) == []


def test_take__a_lock_that_is_garbage_and_fresh_or_of_the_future(tmp_path, impatient):
    (tmp_path / LOCK_FILE).touch()
    assert 'a training that it does not name' in taken(tmp_path)[0]
    write_lock(tmp_path, host='elsewhere')
    os.utime(tmp_path / LOCK_FILE, (time.time() + 10**6,) * 2)
    assert len(taken(tmp_path)) == 1


def test_release__not_by_a_fork(tmp_path):
    lock = WorkDirLock(tmp_path)
    lock.take()
    process = multiprocessing.get_context('fork').Process(target=lock.release)
    process.start()
    process.join(WAIT_SECONDS)
    assert process.exitcode == 0
    assert lock.path.is_file()
    lock.release()
    assert not lock.path.exists()


def test_require__when_another_training_has_taken_over(tmp_path, impatient):
    lock = WorkDirLock(tmp_path)
    lock.take()
    lock.require()
    lock.path.unlink()  # by a user who cleans up
    wait_for(lock.path.is_file)
    lock.require()
    other = write_lock(tmp_path, host='elsewhere', token='other')
    wait_for(lambda: lock.lost)
    with pytest.raises(
        WorkDirLockedError, match=r'taken over by another training, process \d+ on else'
    ):
        lock.require()
    lock.release()
    assert json.loads(other.read_text())['token'] == 'other'


def _race(folder: Path, barrier, result) -> None:
    for number in range(20):
        lock = WorkDirLock(folder / str(number))
        barrier.wait(WAIT_SECONDS)
        try:
            lock.take()
        except WorkDirLockedError:
            won = False
        else:
            won = True
        barrier.wait(WAIT_SECONDS)
        lock.release()
        result.put((number, won))


def test_take__exactly_one_of_several_wins_a_stale_lock(tmp_path):
    for number in range(20):
        (tmp_path / str(number)).mkdir()
        write_lock(tmp_path / str(number), began='1')
        if number % 2:  # one that was killed while it took over
            content = (tmp_path / str(number) / LOCK_FILE).read_text()
            claim = work_dir_lock.claim_path(tmp_path / str(number) / LOCK_FILE, content)
            claim.write_text(content)
    context = multiprocessing.get_context('fork')
    barrier, result = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, barrier, result)) for _ in range(4)]
    for racer in racers:
        racer.start()
    outcomes = [result.get(timeout=WAIT_SECONDS) for _ in range(80)]
    for racer in racers:
        racer.join(WAIT_SECONDS)
    wins = [number for number, won in outcomes if won]
    assert sorted(wins) == list(range(20))
    assert not any(path.is_file() for path in tmp_path.rglob('*'))


def _hold(folder: Path) -> None:
    def main():
        with locked_work_dir(folder):
            (folder / 'ready').touch()
            time.sleep(WAIT_SECONDS)

    os._exit(cli.run(main))


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGINT'])
def test_locked_work_dir__a_signal_outside_of_the_iterations(tmp_path, name):
    process = multiprocessing.get_context('fork').Process(target=_hold, args=(tmp_path,))
    process.start()
    wait_for((tmp_path / 'ready').exists)
    os.kill(process.pid, signal.Signals[name])
    process.join(WAIT_SECONDS)
    assert process.exitcode == 128 + signal.Signals[name]
    assert not (tmp_path / LOCK_FILE).exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _train_twice(config: Path, work_dir: Path) -> None:
    raise SystemExit(scripts.run('train', config, '--work-dir', work_dir, '--no-check'))


def test_train__two_at_once_in_one_folder(write_tiny_config, tmp_path):
    config = write_tiny_config(extra=f'{NO_VALIDATION}train_cfg = dict(max_iters=12)\n')
    work_dir = tmp_path / 'work'
    outcomes = processes.run(_train_twice, config, work_dir, count=2, folder=tmp_path / 'runs')
    codes = [outcome.code for outcome in outcomes]
    assert sorted(codes) == [0, 2], [outcome.err for outcome in outcomes]
    refused = outcomes[codes.index(2)]
    (line,) = refused.err.splitlines()
    assert re.match(
        rf'error: {work_dir} is the work directory of a training that runs, process', line
    )
    assert not refused.out
    assert len([path for path in work_dir.iterdir() if path.is_dir()]) == 1
    assert not (work_dir / LOCK_FILE).exists()


@pytest.mark.slow
def test_train__beside_one_that_runs_and_after_it_was_killed(write_tiny_config, tmp_path):
    config = write_tiny_config(extra=f'{NO_VALIDATION}train_cfg = dict(max_iters=400)\n')
    work_dir = tmp_path / 'work'
    process = start_training(config, work_dir, workers=0)
    wait_for(lambda: list(work_dir.glob('iter_*.pth')))
    (work_dir / 'mine.txt').write_text('')
    cfg = load_config(config, {'train_cfg.max_iters': 1, 'work_dir': str(work_dir)})
    for resume in (False, True, 'auto'):
        with pytest.raises(WorkDirLockedError, match=f'process {process.pid} on'):
            train(cfg, resume=resume, check=False)
    os.kill(process.pid, signal.SIGKILL)
    process.join(WAIT_SECONDS)
    assert (work_dir / LOCK_FILE).is_file()
    assert (
        len([path for path in work_dir.iterdir() if path.is_dir()]) == 1
    )  # no logs of the refused
    reached = max(int(path.stem[5:]) for path in work_dir.glob('iter_*.pth'))
    cfg.train_cfg.max_iters = reached + 2
    assert train(cfg, resume='auto', check=False).iterations == reached + 2
    assert not (work_dir / LOCK_FILE).exists()


@pytest.mark.slow
def test_train__two_processes_of_one_run_are_both_refused_with_one_sentence(
    write_tiny_config, tmp_path
):
    config = write_tiny_config(extra=NO_VALIDATION)
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    arguments = (config, '--work-dir', work_dir, '--no-check', '--launcher', 'pytorch')
    with locked_work_dir(work_dir):
        outcomes = processes.run(_tool, *arguments, count=2, folder=tmp_path / 'refused')
        assert [path.name for path in work_dir.iterdir()] == [LOCK_FILE]
    assert [outcome.code for outcome in outcomes] == [2, 2]
    (line,) = ''.join(outcome.err for outcome in outcomes).splitlines()
    assert f'a training that runs, process {os.getpid()} on' in line
    outcomes = processes.run(_tool, *arguments, count=2, folder=tmp_path / 'run')
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].err
    assert (work_dir / 'iter_4.pth').is_file()
    assert not (work_dir / LOCK_FILE).exists()


def _tool(*arguments: object) -> None:
    raise SystemExit(scripts.run('train', *arguments))


def test_train__a_lock_that_was_lost_ends_it_without_another_checkpoint(
    write_tiny_config, tmp_path, monkeypatch
):
    config = load_config(write_tiny_config(extra=NO_VALIDATION))
    require = WorkDirLock.require
    calls = []

    def lose(self):
        calls.append(None)
        if len(calls) == 4:
            self.lost = 'another training'
        require(self)

    monkeypatch.setattr(WorkDirLock, 'require', lose)
    with pytest.raises(WorkDirLockedError, match='was taken over by another training, for this'):
        train(config, work_dir=tmp_path / 'work', check=False)
    assert not (tmp_path / 'work' / 'iter_4.pth').exists()


def test_evaluate__in_the_folder_of_a_training_that_runs(write_tiny_config, tiny_run, tmp_path):
    (tmp_path / 'work').mkdir()
    with locked_work_dir(tmp_path / 'work'):
        metrics = evaluate(
            load_config(write_tiny_config()), tiny_run / 'iter_4.pth', work_dir=tmp_path / 'work'
        )
        assert 'mIoU' in metrics
        assert (tmp_path / 'work' / LOCK_FILE).is_file()
