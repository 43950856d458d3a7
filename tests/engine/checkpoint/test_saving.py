"""Checkpoints that are always whole, and the newest that is."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from support import processes
from support.scripts import run
from swinseg import cli
from swinseg.checkpoints import CheckpointError, read_checkpoint
from swinseg.engine import load_config, train
from swinseg.engine.checkpoint.finding import checkpoints_in, has_checkpoint, read_newest
from swinseg.engine.checkpoint.saving import AtomicCheckpointHook


@pytest.mark.parametrize(
    ('files', 'pointer', 'expected'),
    [
        (['iter_2.pth', 'iter_10.pth'], None, 'iter_10.pth'),
        (['iter_2.pth', 'iter_10.pth'], '/moved/away/iter_2.pth', 'iter_2.pth'),
        (['iter_2.pth', 'iter_10.pth'], '', 'iter_10.pth'),
        (['iter_2.pth', 'iter_x.pth'], 'iter_99.pth', 'iter_2.pth'),
    ],
)
def test_checkpoints_in__cases(tmp_path, files, pointer, expected):
    for name in files:
        (tmp_path / name).write_text('')
    if pointer is not None:
        (tmp_path / 'last_checkpoint').write_text(pointer)
    assert checkpoints_in(tmp_path)[0] == tmp_path / expected


def test_checkpoints_in__none(tmp_path):
    with pytest.raises(CheckpointError, match='no checkpoint to resume from in'):
        checkpoints_in(tmp_path)


class KilledError(Exception):
    """Stands for the kill of the process."""


@pytest.mark.parametrize(
    ('hook', 'survives'), [('AtomicCheckpointHook', True), ('CheckpointHook', False)]
)
def test_safe_checkpoint__a_kill_while_saving_leaves_the_old_checkpoint(
    write_tiny_config, tmp_path, monkeypatch, hook, survives
):
    cfg = load_config(
        write_tiny_config(),
        {'default_hooks.checkpoint.max_keep_ckpts': 1, 'default_hooks.checkpoint.save_best': None},
    )
    cfg.default_hooks.checkpoint.type = hook
    save = mmengine.runner.runner.save_checkpoint
    saved = []

    def dies_the_second_time(checkpoint, filename, **kwargs):
        saved.append(filename)
        if len(saved) == 2:
            with open(filename, 'wb') as file:
                file.write(b'half a check')
            raise KilledError
        save(checkpoint, filename, **kwargs)

    monkeypatch.setattr(mmengine.runner.runner, 'save_checkpoint', dies_the_second_time)
    with pytest.raises(KilledError):
        train(cfg, work_dir=tmp_path, check=False)
    assert (tmp_path / 'iter_2.pth').is_file() is survives
    assert not (tmp_path / 'iter_4.pth').exists()


def test_safe_checkpoint__keeps_as_many_as_it_should(write_tiny_config, tmp_path):
    cfg = load_config(
        write_tiny_config(),
        {'default_hooks.checkpoint.max_keep_ckpts': 2, 'default_hooks.checkpoint.interval': 1},
    )
    result = train(cfg, work_dir=tmp_path, check=False)
    assert sorted(path.name for path in tmp_path.glob('iter_*.pth')) == ['iter_3.pth', 'iter_4.pth']
    assert list(tmp_path.glob('best_*.pth')) == [result.best]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')


def test_safe_checkpoint__a_run_resumed_elsewhere_leaves_the_first_folder_alone(
    write_tiny_config, tmp_path
):
    first = train(load_config(write_tiny_config()), work_dir=tmp_path / 'first', check=False)
    cfg = load_config(write_tiny_config(), {'train_cfg.max_iters': 6})
    cfg.optim_wrapper.optimizer.lr = 0.1
    before = sorted(path.name for path in (tmp_path / 'first').iterdir())
    message = torch.load(first.last, weights_only=True)
    message['message_hub']['runtime_info']['best_score'] = -1.0  # whatever comes is better
    torch.save(message, first.last)
    second = train(cfg, work_dir=tmp_path / 'second', resume=first.last, check=False)
    assert second.best.parent == tmp_path / 'second'
    assert sorted(path.name for path in (tmp_path / 'first').iterdir()) == before


def test_safe_checkpoint__takes_the_arguments_of_mmengine():
    assert issubclass(AtomicCheckpointHook, CheckpointHook)
    assert '__init__' not in vars(AtomicCheckpointHook)


def _flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path):
    path.write_bytes(b'')


@pytest.mark.parametrize('breaks', [_flip_a_bit, _cut, _empty])
def test_read_newest__passes_over_a_broken_one_and_says_so(tmp_path, breaks, caplog):
    for step in (2, 4, 6):
        torch.save({'step': step, 'weight': torch.randn(1000)}, tmp_path / f'iter_{step}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_6.pth'))
    breaks(tmp_path / 'iter_6.pth')
    with caplog.at_level('WARNING'):
        path, content = read_newest(tmp_path)
    assert (path, content['step']) == (tmp_path / 'iter_4.pth', 4)


def test_read_newest__none_is_whole(tmp_path):
    for step in (2, 4):
        (tmp_path / f'iter_{step}.pth').write_bytes(b'')
    with pytest.raises(
        CheckpointError, match=r'none of the checkpoints .*iter_4\.pth is empty.*iter_2\.pth'
    ):
        read_newest(tmp_path)


def test_has_checkpoint__cases(tmp_path):
    assert not has_checkpoint(tmp_path)
    assert not has_checkpoint(tmp_path / 'nowhere')
    (tmp_path / 'iter_2.pth').write_text('')
    assert has_checkpoint(tmp_path)


def test_train__resumes_from_the_newest_whole_checkpoint(write_tiny_config, tmp_path, capsys):
    path = write_tiny_config()
    whole = train(load_config(path), work_dir=tmp_path / 'work', seed=0, check=False)
    weights = read_checkpoint(whole.last)['state_dict']
    _flip_a_bit(whole.last)
    # What a process that was killed while it wrote leaves behind.
    (tmp_path / 'work' / '.iter_4.99.partial.pth').write_bytes(b'half')
    capsys.readouterr()
    train(load_config(path), work_dir=tmp_path / 'work', resume=True, check=False)
    out = capsys.readouterr().out
    assert 'training from iteration 2 to 4' in out
    warnings = [line for line in out.splitlines() if line.startswith('warning: ')]
    assert len(warnings) == 1, warnings
    assert 'iter_4.pth is damaged: the checksum of its part' in warnings[0]
    assert warnings[0].endswith('going on from iter_2.pth')
    again = read_checkpoint(whole.last)['state_dict']
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert not list((tmp_path / 'work').glob('.*'))


def test_train__resume_auto_begins_where_there_is_nothing(write_tiny_config, tmp_path, capsys):
    cfg = load_config(write_tiny_config(), {'train_cfg.max_iters': 2})
    for expected in ('training from iteration 0 to 2', 'training from iteration 2 to 2'):
        train(cfg, work_dir=tmp_path / 'work', resume='auto', check=False)
        assert expected in capsys.readouterr().out


def _fill_the_disk(cfg: Config, work_dir: Path) -> None:
    train(cfg, work_dir=work_dir, seed=0, check=False)
    size = max(path.stat().st_size for path in work_dir.glob('iter_*.pth'))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
    cfg.train_cfg.max_iters = 6
    raise SystemExit(cli.run(lambda: train(cfg, work_dir=work_dir, resume=True, check=False)))


def test_full_disk__leaves_the_last_checkpoint_and_says_so(write_tiny_config, tmp_path):
    """A limit of the size of files is met as a full disk is: in the middle of a write."""
    work = tmp_path / 'work'
    cfg = load_config(write_tiny_config())
    (done,) = processes.run(
        _fill_the_disk, cfg, work, count=1, folder=tmp_path, environment=lambda *_: {}
    )
    assert done.code == 2, done.err
    errors = [line for line in done.err.splitlines() if line.startswith('error: ')]
    assert errors == [
        f'error: cannot write {work}/iter_6.pth: File too large; the last whole checkpoint is iter_4.pth: make '
        'room and go on with --resume'
    ]
    assert 'Traceback' not in done.err
    assert read_checkpoint(work / 'iter_4.pth')['meta']['iter'] == 4
    assert not list(work.glob('.*'))


def test_full_disk__wherever_it_is_met(write_tiny_config, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    from mmengine.visualization import Visualizer

    from swinseg.files import OutputError

    monkeypatch.setattr(Visualizer, 'add_scalars', full)
    with pytest.raises(
        OutputError, match=r'cannot write to .*work: No space left on device; make room'
    ):
        train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', check=False)


def test_split_steps__are_warned_of(write_tiny_config, tmp_path, capsys):
    options = {'optim_wrapper.accumulative_counts': 3, 'train_cfg.max_iters': 1}
    train(load_config(write_tiny_config(), options), work_dir=tmp_path, check=False)
    expected = 'checkpoints every 2 iterations fall between the 3 batches of a step'
    assert expected in capsys.readouterr().out


def test_checkpoints_in__of_a_training_that_counts_epochs(tmp_path):
    for name in (
        'epoch_2.pth',
        'epoch_10.pth',
        'epoch_10_iter_33.pth',
        'epoch_x.pth',
        'best_epoch_9.pth',
    ):
        (tmp_path / name).write_text('')
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        'epoch_10_iter_33.pth', 'epoch_10.pth', 'epoch_2.pth',
    ]  # fmt: skip
    assert has_checkpoint(tmp_path)


@pytest.mark.parametrize('newer', ['epoch_1.pth', 'iter_900.pth'])
def test_checkpoints_in__of_both_kinds_the_one_written_last_comes_first(tmp_path, newer):
    for time, name in enumerate(sorted(('epoch_1.pth', 'iter_900.pth'), key=lambda n: n == newer)):
        (tmp_path / name).write_text('')
        os.utime(tmp_path / name, (time, time))
    assert checkpoints_in(tmp_path)[0].name == newer


def test_save_best__several_metrics_each_with_its_checkpoint(write_tiny_config, tmp_path, capsys):
    extra = (
        "val_evaluator = dict(iou_metrics=['mIoU', 'mDice'])\n"
        "default_hooks = dict(checkpoint=dict(save_best=['mDice', 'mIoU']))\n"
    )
    config = write_tiny_config(extra=extra)
    options = ('--work-dir', tmp_path / 'w', '--no-check', '--cfg-options')
    assert run('train', config, *options, 'train_cfg.max_iters=2') == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(re.findall(r'(mIoU|mDice) ([\d.]+)', next(x for x in lines if 'validation' in x)))
    assert any(line.endswith('(best mDice and mIoU so far)') for line in lines)
    assert lines[-2:] == [
        f'best {name} {found[name]}: {tmp_path}/w/best_{name}_iter_2.pth'
        for name in ('mDice', 'mIoU')
    ]
    one = "default_hooks.checkpoint.save_best='mDice'"
    assert (
        run('train', config, '--resume', *options, 'train_cfg.max_iters=3', one.replace("'", ''))
        == 0
    )
    assert re.search(
        r'best mDice [\d.]+: .*best_mDice_iter_3', capsys.readouterr().out.splitlines()[-1]
    )
