"""The worked example of docs/bands.md: its images, its config and its commands, with two steps of training."""

from __future__ import annotations

import glob
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio

from support import documented_commands
from swinseg.cli import main
from swinseg.predictor import Predictor

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'bands.md').read_text(encoding='utf-8')
SHORT = """
crop_size = (64, 64)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
model = dict(
    backbone=dict(embed_dims=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16),
    auxiliary_head=dict(in_channels=64, channels=16),
)
train_cfg = dict(max_iters=2, val_interval=2)
training_hooks = dict(curves=None, sample_predictions=None, first_batch=None)
"""


def block(language):
    return re.search(rf'^```{language}\n(.*?)^```', PAGE, re.S | re.M)[1]


def lines_of(text):
    """Return the variables of the lines that the check prints for a config."""
    found = {}
    exec('\n'.join(re.findall(r'^    ((?:bands|value_range|model) = .*)$', text, re.M)), found)
    return found


@pytest.mark.slow
def test_page__from_images_to_maps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block('python'), 'bands.md', 'exec'), {})
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'bands.py').write_text(block('py'))
    (tmp_path / 'short.py').write_text(f"_base_ = './bands.py'\n{SHORT}")
    commands = list(documented_commands.in_blocks(PAGE))
    assert [shlex.split(line)[1] for line in commands] == ['check', 'train', 'test', 'segment']
    for line in commands:
        command, words = documented_commands.command_and_arguments(
            line.replace('bands.py', 'short.py')
        )
        arguments = [found for word in words for found in sorted(glob.glob(word)) or [word]]
        assert main(command, arguments) == 0, (line, capsys.readouterr().err)
        if line == commands[0]:
            printed, in_page = lines_of(capsys.readouterr().out), {}
            exec(block('py'), in_page)
            assert printed['bands'] == in_page['bands']
            np.testing.assert_allclose(printed['value_range'], in_page['value_range'], atol=3)
            assert printed['model']['backbone'] == in_page['model']['backbone']
            statistics = in_page['model']['data_preprocessor']
            for name, values in printed['model']['data_preprocessor'].items():
                np.testing.assert_allclose(values, statistics[name], atol=0.2)
    (checkpoint,) = (tmp_path / 'work_dirs' / 'bands').glob('best_*.pth')
    assert Predictor.from_checkpoint(checkpoint, device='cpu').bands == tuple(in_page['bands'])
    assert len(list((tmp_path / 'maps').glob('*_labels.tif'))) == 4
    with (
        rasterio.open(tmp_path / 'maps' / '0_labels.tif') as labels,
        rasterio.open('data/bands/images/val/0.tif') as image,
    ):
        assert (labels.crs, labels.transform) == (image.crs, image.transform)
        values = labels.read(1)
    assert (values[:, :8] == labels.nodata).all()
    assert values[:, 8:].max() < 4
