"""Signals, sent for real: the training saves, leaves with a code of its own, and goes on bit by bit."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from support.training import NO_VALIDATION, assert_same_state, in_iteration
from swinseg import cli
from swinseg.engine import TrainingError, load_config, train
from swinseg.errors import Interrupted
from swinseg.evaluation.iou_metric import MeanIoUMetric
from swinseg.signals import stop_signals


def _send(*signals):
    for number in signals:
        os.kill(os.getpid(), number)


def test_signal__saves_at_the_end_of_the_iteration_and_goes_on_bit_by_bit(
    write_tiny_config, tmp_path, tiny_run, monkeypatch
):
    path = write_tiny_config()
    with monkeypatch.context() as patch:
        in_iteration(patch, 3, lambda: _send(signal.SIGTERM))
        with pytest.raises(Interrupted, match='SIGTERM: stopped at iteration 3, which is saved'):
            train(load_config(path), work_dir=tmp_path / 'w', seed=0, check=False)
    train(load_config(path), work_dir=tmp_path / 'w', resume=True, check=False)
    assert_same_state(tmp_path / 'w' / 'iter_4.pth', tiny_run / 'iter_4.pth')


@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_signal__has_an_exit_code_and_says_how_to_go_on(
    write_tiny_config, tmp_path, monkeypatch, capfd, number, code
):
    # A suite that runs in the background has SIGINT ignored.
    inherited = signal.signal(number, signal.SIG_DFL)
    in_iteration(monkeypatch, 1, lambda: _send(number))
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION))
    try:
        found = cli.run(lambda: _train_and_return_nothing(cfg, tmp_path / 'w'))
        assert found == code
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, inherited)
    name = signal.Signals(number).name
    assert capfd.readouterr().err.splitlines()[-2:] == [
        f'{name}: saving a checkpoint after this iteration; a second signal ends at once',
        f'{name}: stopped at iteration 1, which is saved; go on with --work-dir {tmp_path}/w --resume',
    ]
    assert (tmp_path / 'w' / 'iter_1.pth').is_file()


def _train_and_return_nothing(cfg, work_dir):
    train(cfg, work_dir=work_dir, check=False)


def test_signal__a_second_one_ends_at_once(write_tiny_config, tmp_path, monkeypatch):
    in_iteration(monkeypatch, 1, lambda: _send(signal.SIGTERM, signal.SIGTERM))
    with pytest.raises(Interrupted, match='ended at once by a second signal, SIGTERM') as caught:
        train(load_config(write_tiny_config()), work_dir=tmp_path, check=False)
    assert caught.value.exit_code == 143
    assert not list(tmp_path.glob('*.pth'))


def test_signal__in_a_validation_loses_nothing(write_tiny_config, tmp_path, tiny_run, monkeypatch):
    process, batches = MeanIoUMetric.process, []

    def process_and_send(self, *args, **options):
        batches.append(None)
        if len(batches) == 2:  # the first one is tried before the training
            _send(signal.SIGTERM)
        process(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MeanIoUMetric, 'process', process_and_send)
        with pytest.raises(Interrupted, match='stopped in the validation at iteration 2, which is'):
            train(load_config(write_tiny_config()), work_dir=tmp_path, seed=0, check=False)
    assert not list(tmp_path.glob('best_*'))
    train(load_config(write_tiny_config()), work_dir=tmp_path, resume=True, check=False)
    assert_same_state(tmp_path / 'iter_4.pth', tiny_run / 'iter_4.pth')


def test_signal__reaches_the_workers_too(write_tiny_config, tmp_path, monkeypatch):
    """SLURM and Ctrl-C signal every process of a job."""

    def send_to_all():
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGTERM)
        _send(signal.SIGTERM)

    in_iteration(monkeypatch, 2, send_to_all)
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION), {'train_dataloader.num_workers': 1})
    with pytest.raises(Interrupted, match='stopped at iteration 2, which is saved'):
        train(cfg, work_dir=tmp_path, check=False)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


@pytest.mark.parametrize(
    ('number', 'reason'),
    [
        (signal.SIGKILL, 'because memory ran out: lower'),
        pytest.param(signal.SIGBUS, 'enlarge /dev/shm', marks=pytest.mark.full),
    ],
)
def test_worker__that_dies_is_told_of_and_nothing_is_lost(
    write_tiny_config, tmp_path, monkeypatch, number, reason
):
    def end_workers():
        for child in multiprocessing.active_children():
            os.kill(child.pid, number)

    in_iteration(monkeypatch, 3, end_workers)
    cfg = load_config(
        write_tiny_config(extra=NO_VALIDATION + 'train_cfg = dict(max_iters=50)'),
        {'train_dataloader.num_workers': 1, 'default_hooks.checkpoint.interval': 100},
    )
    with pytest.raises(TrainingError) as caught:
        train(cfg, work_dir=tmp_path, check=False)
    message = str(caught.value)
    assert f'a process that loads images was ended by {signal.Signals(number).name}, ' in message
    assert reason in message
    assert 'which is saved; go on with --resume' in message
    # What had been loaded before was still trained on.
    assert len(list(tmp_path.glob('iter_*.pth'))) == 1


def test_stop_signals__ignored_ones_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            _send(signal.SIGHUP)
            assert stop.signum == 0
            _send(signal.SIGTERM)
            assert stop.signum == signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)
