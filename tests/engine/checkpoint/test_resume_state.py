"""A resumed run goes on as if it had never stopped: bit by bit, in the middle of a pass over the data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from support.training import NO_VALIDATION, assert_same_state, in_iteration, train_whole
from swinseg.engine import load_config, train
from swinseg.evaluation.iou_metric import MeanIoUMetric

# Four images in batches of two: iteration 3 is in the middle of the second pass. The model drops paths and
# channels, and the hook averages its weights.
EXACT = (
    NO_VALIDATION
    + """
custom_hooks = [dict(type='EMAHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(interval=3))
train_cfg = dict(max_iters=7)
"""
)


def _config(write_tiny_config, workers):
    return load_config(write_tiny_config(extra=EXACT), {'train_dataloader.num_workers': workers})


@pytest.fixture(scope='module')
def whole_run(tmp_path_factory, tiny_dataset) -> Path:
    """The work directory of a run that was not interrupted, without workers."""
    return train_whole(tmp_path_factory.mktemp('whole'), tiny_dataset, EXACT)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
def test_resume__bit_by_bit_with_another_number_of_workers(
    write_tiny_config, tmp_path, whole_run, workers
):
    cfg = _config(write_tiny_config, workers)
    result = train(cfg, work_dir=tmp_path, resume=whole_run / 'iter_3.pth', check=False)
    assert_same_state(result.last, whole_run / 'iter_7.pth')


@pytest.mark.slow
def test_resume__bit_by_bit_from_workers_to_none(write_tiny_config, tmp_path, whole_run):
    cfg = _config(write_tiny_config, 2)
    cfg.train_cfg.max_iters = 5
    train(cfg, work_dir=tmp_path, seed=0, check=False)
    train(_config(write_tiny_config, 0), work_dir=tmp_path, resume=True, check=False)
    assert_same_state(tmp_path / 'iter_7.pth', whole_run / 'iter_7.pth')


def test_resume__without_generators_is_another_run_and_says_so(
    write_tiny_config, tmp_path, whole_run, capsys
):
    """The control: what the tests above compare does depend on the generators."""
    checkpoint = torch.load(whole_run / 'iter_3.pth', weights_only=True)
    del checkpoint['generators'], checkpoint['sampler']
    torch.save(checkpoint, tmp_path / 'iter_3.pth')
    cfg = _config(write_tiny_config, 0)
    result = train(cfg, work_dir=tmp_path, resume=tmp_path / 'iter_3.pth', check=False)
    assert 'the checkpoint has no states of random generators' in capsys.readouterr().out
    with pytest.raises(AssertionError, match='state_dict'):
        assert_same_state(result.last, whole_run / 'iter_7.pth')


def test_resume__a_sampler_that_cannot_start_anywhere_replays_and_says_so(
    write_tiny_config, tmp_path, capsys
):
    cfg = _config(write_tiny_config, 0)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    cfg.train_cfg.max_iters = 3
    train(cfg, work_dir=tmp_path, seed=0, check=False)
    assert 'again' not in capsys.readouterr().out
    cfg.train_cfg.max_iters = 4
    assert train(cfg, work_dir=tmp_path, resume=True, check=False).iterations == 4
    expected = 'loading the images of 3 iterations again, for InfiniteSampler can only start at the'
    assert expected in capsys.readouterr().out


def test_resume__says_that_the_training_set_is_another_one(
    write_tiny_config, tmp_path, whole_run, capsys
):
    cfg = _config(write_tiny_config, 0)
    cfg.train_dataloader.dataset.indices = 3
    cfg.train_cfg.max_iters = 4
    train(cfg, work_dir=tmp_path, resume=whole_run / 'iter_3.pth', check=False)
    assert (
        'the training set has 3 images and that of the checkpoint had 4' in capsys.readouterr().out
    )


class KilledError(Exception):
    """Stands for the kill of the process."""


@pytest.mark.slow
def test_resume__a_validation_that_was_cut_short_is_made_up_for(
    write_tiny_config, tmp_path, tiny_run, monkeypatch, capsys
):
    def killed(*args):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(MeanIoUMetric, 'evaluate', killed)
        with pytest.raises(KilledError):
            train(load_config(write_tiny_config()), work_dir=tmp_path, seed=0, check=False)
    train(load_config(write_tiny_config()), work_dir=tmp_path, resume=True, check=False)
    out = capsys.readouterr().out
    assert out.count('validation at iteration 2:') == 1
    assert out.index('training from iteration 2 to 4') < out.index('validation at iteration 2:')
    assert_same_state(tmp_path / 'iter_4.pth', tiny_run / 'iter_4.pth')
    # Of a run that has ended nothing is left to do.
    train(load_config(write_tiny_config()), work_dir=tmp_path, resume=True, check=False)


@pytest.mark.parametrize('workers', [0, 1])
def test_missing_file__stops_with_its_name(
    write_tiny_config, tmp_path, copied_dataset, monkeypatch, workers
):
    gone = next((copied_dataset / 'images' / 'training').glob('*.jpg'))
    in_iteration(monkeypatch, 1, gone.unlink)
    cfg = load_config(
        write_tiny_config(
            root=copied_dataset, extra=NO_VALIDATION + 'train_cfg = dict(max_iters=9)'
        ),
        {'train_dataloader.num_workers': workers},
    )
    with pytest.raises(ValueError, match=gone.name):
        train(cfg, work_dir=tmp_path / 'work', check=False)


def test_missing_file__is_skipped_counted_and_named(
    write_tiny_config, tmp_path, copied_dataset, monkeypatch, capsys
):
    gone = next((copied_dataset / 'images' / 'training').glob('*.jpg'))
    in_iteration(monkeypatch, 1, gone.unlink)
    cfg = load_config(
        write_tiny_config(
            root=copied_dataset, extra=NO_VALIDATION + 'train_cfg = dict(max_iters=7)'
        ),
        {'train_dataloader.num_workers': 1, 'train_dataloader.sampler.missing_files': 'skip'},
    )
    result = train(cfg, work_dir=tmp_path / 'work', check=False)
    info = torch.load(result.last, weights_only=True)['message_hub']['runtime_info']
    assert info['missing_files'] >= 1
    out = capsys.readouterr().out
    assert out.count(f'{gone} is gone; another image takes its place') == 1


@pytest.fixture
def copied_dataset(tmp_path, tiny_dataset) -> Path:
    """A copy of the tiny set, whose files may vanish."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / 'data'))
