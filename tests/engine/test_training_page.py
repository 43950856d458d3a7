"""The settings that docs/training.md shows are read by a config that uses them, and train together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swinseg.engine import load_config, train

PAGE = Path(__file__).parents[2] / 'docs' / 'training.md'
BLOCKS = re.findall(r'^```py\n(.*?)^```', PAGE.read_text(encoding='utf-8'), re.S | re.M)


@pytest.mark.parametrize('block', BLOCKS, ids=lambda block: block.split(' = ')[0])
def test_blocks__are_understood(write_tiny_config, block):
    load_config(write_tiny_config(extra=block))


def test_blocks__train_together(write_tiny_config, tmp_path, capsys):
    chosen = ('accumulation', 'clip_grad', 'ResumableEMAHook', 'LayerDecay', 'class_weight', 'OHEM')
    path = write_tiny_config()
    for number, word in enumerate(chosen):
        (block,) = (block for block in BLOCKS if word in block)
        (tmp_path / f'{number}.py').write_text(f"_base_ = './{path.name}'\n{block}")
        path = tmp_path / f'{number}.py'
    options = {'auto_scale_lr.base_batch_size': 4, 'train_cfg.max_iters': 1}
    done = train(load_config(path, options), work_dir=tmp_path / 'work', check=False)
    assert done.iterations == 1
    assert '1 process x 2 images x 2 parts = 4, that of the recipe' in capsys.readouterr().out
