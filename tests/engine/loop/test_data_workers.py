"""Reads that never end and workers that are stopped: told of with their files, nothing is lost, nobody is left."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from support.scripts import run
from support.training import NO_VALIDATION, in_iteration
from swinseg.checkpoints import read_checkpoint
from swinseg.datasets.check.of_config import check_dataset
from swinseg.engine import ConfigError, TrainingError, evaluate, load_config, train
from swinseg.engine.loop import data_workers
from swinseg.errors import Interrupted

LONG = {'train_cfg.max_iters': 1000, 'default_hooks.checkpoint.interval': 1000}
# The last file is one of the second batch.
IN_ORDER = {'train_dataloader.sampler.shuffle': False}


@pytest.fixture
def data(tmp_path, tiny_dataset):
    shutil.copytree(tiny_dataset, tmp_path / 'data')
    return tmp_path / 'data'


def _never_answers(data: Path, part: str) -> Path:
    """Make a file of the set one that can be opened and never gives a byte, as on a drive that is gone."""
    path = max((data / 'annotations' / part).iterdir())
    path.unlink()
    os.mkfifo(path)
    return path


@contextlib.contextmanager
def _when_it_is_read(path: Path, action):
    """Call ``action`` when a process reads ``path``, which is then left waiting."""
    opened = []

    def wait():
        opened.append(os.open(path, os.O_WRONLY))
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # nobody has read it
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        thread.join(10)
        for descriptor in opened:
            os.close(descriptor)


def _send_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def _no_children() -> bool:
    children = multiprocessing.active_children()
    for child in children:
        child.join(5)  # what another thread has waited for counts as alive for a moment
    return not [child for child in children if Path(f'/proc/{child.pid}').exists()]


@pytest.mark.parametrize('workers', [0, 1])
def test_read_that_never_ends__is_given_up_and_nothing_is_lost(
    write_tiny_config, tmp_path, data, workers
):
    path = _never_answers(data, 'training')
    options = {'train_dataloader.num_workers': workers, 'train_dataloader.timeout': 1}
    cfg = load_config(
        write_tiny_config(root=data, extra=NO_VALIDATION), {**LONG, **IN_ORDER, **options}
    )
    with pytest.raises(TrainingError) as caught:
        train(cfg, work_dir=tmp_path / 'w', check=False)
    message = str(caught.value)
    who = 'this process' if workers == 0 else r'data worker 0 \(process \d+\)'
    image = data / 'images' / 'training' / f'{path.stem}.jpg'
    assert re.search(
        f'no batch of images came within 1 s; {who} was loading {image} and {path}; check', message
    )
    assert 'iteration 1, which is saved; go on with --resume' in message
    assert read_checkpoint(tmp_path / 'w' / 'iter_1.pth')['meta']['iter'] == 1
    assert _no_children()


@pytest.mark.parametrize('workers', [0, 1])
def test_signal__is_heard_while_a_read_does_not_end(
    write_tiny_config, tmp_path, data, workers, monkeypatch
):
    path = _never_answers(data, 'training')
    cfg = load_config(
        write_tiny_config(root=data, extra=NO_VALIDATION),
        {**LONG, **IN_ORDER, 'train_dataloader.num_workers': workers},
    )
    monkeypatch.setattr(data_workers, '_GRACE_SECONDS', 0.5)
    in_iteration(monkeypatch, 1, threading.Timer(0.5, _send_sigterm).start)
    with pytest.raises(
        Interrupted, match='SIGTERM: stopped at iteration 1, which is sav'
    ) as caught:
        train(cfg, work_dir=tmp_path / 'w', check=False)
    assert ', while waiting for images; ' in str(caught.value)
    assert f'and {path}; go on with --work-dir {tmp_path}/w --resume' in str(caught.value)
    assert caught.value.exit_code == 143
    assert (tmp_path / 'w' / 'iter_1.pth').is_file()
    assert _no_children()


def test_read_that_never_ends__in_a_validation_saves_the_trained_weights(
    write_tiny_config, tmp_path, data
):
    path = _never_answers(data, 'validation')
    average = "custom_hooks = [dict(type='EMAHook', momentum=0.5)]\n"
    options = {
        'val_dataloader.num_workers': 1, 'val_dataloader.timeout': 1,
        'default_hooks.checkpoint.interval': 1000,
    }  # fmt: skip
    cfg = load_config(write_tiny_config(root=data, extra=average), options)
    with pytest.raises(TrainingError) as caught:
        train(cfg, work_dir=tmp_path / 'w', seed=0, check=False)
    assert f'and {path}; check' in str(caught.value)
    assert '(during the validation at iteration 2, which is saved' in str(caught.value)
    whole = load_config(
        write_tiny_config(root=data, extra=average + NO_VALIDATION),
        {'train_cfg.max_iters': 2},
    )
    train(whole, work_dir=tmp_path / 'whole', seed=0, check=False)
    left, expected = (read_checkpoint(tmp_path / name / 'iter_2.pth') for name in ('w', 'whole'))
    for part in ('state_dict', 'ema_state_dict'):
        for key, tensor in expected[part].items():
            assert tensor.equal(left[part][key]), (part, key)
    assert _no_children()


def test_evaluation__of_a_read_that_never_ends(write_tiny_config, tmp_path, data, tiny_run):
    path = _never_answers(data, 'validation')
    options = {'test_dataloader.num_workers': 1, 'test_dataloader.timeout': 1}
    cfg = load_config(write_tiny_config(root=data), options)
    arguments = dict(checkpoint=tiny_run / 'iter_4.pth', work_dir=tmp_path / 'w')
    with pytest.raises(TrainingError, match=f'within 1 s; .* was loading .* and {path}; check'):
        evaluate(cfg, **arguments)
    with (
        _when_it_is_read(path, _send_sigterm),
        pytest.raises(Interrupted, match='ended by SIGTERM') as caught,
    ):
        evaluate(cfg, **arguments)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert _no_children()


def test_evaluation__of_which_a_worker_is_killed(
    write_tiny_config, tmp_path, data, tiny_run, monkeypatch
):
    # Every so many seconds PyTorch looks whether its workers live.
    get = torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(get, '__defaults__', (0.3,))
    path = _never_answers(data, 'validation')
    cfg = load_config(write_tiny_config(root=data), {'test_dataloader.num_workers': 1})

    def kill():
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with (
        _when_it_is_read(path, kill),
        pytest.raises(TrainingError, match='a process that loads images was ended by SIGKILL'),
    ):
        evaluate(cfg, tiny_run / 'iter_4.pth', work_dir=tmp_path / 'w')


def test_time_of_waiting__is_not_that_of_a_clock(write_tiny_config, tmp_path, monkeypatch):
    """A training that was stopped with Ctrl-Z and goes on later has not waited for its images meanwhile."""
    cfg = load_config(
        write_tiny_config(extra=NO_VALIDATION),
        {'train_dataloader.num_workers': 1, 'train_dataloader.timeout': 1.0},
    )

    def stop_for_a_while():
        pid = os.getpid()
        workers = [child.pid for child in multiprocessing.active_children()]
        script = (
            f'import os, time; time.sleep(0.2); [os.kill(p, 19) for p in {[*workers, pid]}]; time.sleep(1.6); '
            f'[os.kill(p, 18) for p in {[*workers, pid]}]'
        )
        subprocess.Popen([sys.executable, '-c', script])
        time.sleep(0.1)

    in_iteration(monkeypatch, 1, stop_for_a_while)
    assert train(cfg, work_dir=tmp_path, check=False).iterations == 4


def _train_into(log, *arguments):
    """Be the script in a session of its own that writes all it says to ``log``."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, 'w', closefd=False), os.fdopen(2, 'w', closefd=False)
    torch.set_num_threads(1)
    raise SystemExit(run('train', *arguments))


def test_worker__that_is_stopped_ends_a_real_training_with_a_sentence(write_tiny_config, tmp_path):
    config = write_tiny_config(extra=NO_VALIDATION)
    log = tmp_path / 'log'
    options = ['train_dataloader.num_workers=2', 'train_dataloader.timeout=1']
    options += [f'{key}={value}' for key, value in LONG.items()]
    command = [config, '--work-dir', tmp_path / 'w', '--no-check', '--cfg-options', *options]
    process = multiprocessing.get_context('fork').Process(target=_train_into, args=(log, *command))
    process.start()
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / 'w').glob('*/vis_data/scalars.json')):
            assert process.is_alive(), log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
        os.kill(int(children[0]), signal.SIGSTOP)
        process.join(60)
        assert process.exitcode == 2, log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    sentence = log.read_text().strip().splitlines()[-1]
    assert sentence.startswith('error: no batch of images came within 1 s; data worker'), sentence
    assert f'(process {children[0]}, stopped by a signal) was ' in sentence
    assert 'which is saved; go on with --resume' in sentence
    assert 'Traceback' not in log.read_text()
    assert not [pid for pid in children if Path(f'/proc/{pid}').exists()]


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_check_of_a_dataset__ends_by_a_signal_while_a_read_does_not_end(
    write_tiny_config, data, number
):
    path = _never_answers(data, 'training')
    cfg = load_config(write_tiny_config(root=data))
    inherited = signal.signal(number, signal.SIG_DFL)
    try:
        with (
            _when_it_is_read(path, lambda: os.kill(os.getpid(), number)),
            pytest.raises(Interrupted, match=f'ended by {number.name}'),
        ):
            check_dataset(cfg, workers=2)
    finally:
        signal.signal(number, inherited)
    assert _no_children()


@pytest.mark.parametrize('timeout', [-1, '"long"', 'True', 'float("nan")'])
def test_timeout__that_is_none(write_tiny_config, tmp_path, timeout):
    cfg = load_config(write_tiny_config(extra=f'train_dataloader = dict(timeout={timeout})'))
    with pytest.raises(ConfigError, match='timeout of a data loader takes seconds, or 0'):
        train(cfg, work_dir=tmp_path, check=False)
