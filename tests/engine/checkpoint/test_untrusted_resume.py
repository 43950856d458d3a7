"""Going on from a checkpoint of someone else: nothing in it is executed, and nothing that it names is removed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from swinseg.checkpoints import CheckpointError
from swinseg.engine import load_config, train


@pytest.fixture
def doctored(tiny_run, tmp_path):
    """Save the second checkpoint of the tiny run, changed, and return the path."""

    def save(change):
        content = torch.load(tiny_run / 'iter_2.pth', weights_only=True)
        change(content)
        torch.save(content, tmp_path / 'stranger.pth')
        return tmp_path / 'stranger.pth'

    return save


def test_resume__executes_no_config_in_the_checkpoint(doctored, write_tiny_config, tmp_path):
    trace = tmp_path / 'trace'
    code = f'x = __import__("os").mkdir({str(trace)!r})\n'
    path = doctored(lambda content: content['meta'].update(config=code, cfg=code))
    train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', resume=path)
    assert not trace.exists()
    # mmengine's way of reading it would have run it.
    Config.fromstring(code, file_format='.py')
    assert trace.is_dir()


@pytest.mark.parametrize('save_best', ["'mIoU'", "['mIoU', 'aAcc']"])
def test_resume__removes_nothing_that_the_checkpoint_names(
    save_best, doctored, write_tiny_config, tmp_path
):
    precious = tmp_path / 'precious'
    (precious / 'best_folder.pth').mkdir(parents=True)
    (precious / 'best_file.pth').write_text('kept')

    def change(content):
        info = content['message_hub']['runtime_info']
        info.update(
            best_ckpt=str(precious / 'best_file.pth'), best_ckpt_mIoU=str(precious),
            best_ckpt_aAcc=str(precious / 'best_folder.pth'), keep_ckpt_ids=['../precious'] * 9,
        )  # fmt: skip
        info.update(dict.fromkeys(('best_score', 'best_score_mIoU', 'best_score_aAcc'), -1.0))
        content['message_hub']['resumed_keys'].update(dict.fromkeys(info, True))

    extra = f'default_hooks = dict(checkpoint=dict(save_best={save_best}, max_keep_ckpts=1))'
    result = train(
        load_config(write_tiny_config(extra=extra)),
        work_dir=tmp_path / 'work',
        resume=doctored(change),
    )
    assert list(Path(result.work_dir).glob('best_*.pth'))  # so the old ones were to be removed
    assert sorted(path.name for path in precious.iterdir()) == ['best_file.pth', 'best_folder.pth']


@pytest.mark.parametrize(
    'meta', [{}, [], 'meta', {'epoch': 0}, {'epoch': 0, 'iter': '2'}, {'epoch': 0, 'iter': -2}]
)
def test_resume__from_a_checkpoint_that_does_not_tell_where_it_was(
    meta, doctored, write_tiny_config, tmp_path
):
    path = doctored(lambda content: content.update(meta=meta))
    with pytest.raises(CheckpointError, match=r'does not tell its epoch and iteration|has no '):
        train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', resume=path)
