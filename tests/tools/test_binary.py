"""The binary preset on masks of 0 and 255, and of single bits: training, test and masks of photographs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.scripts import assert_one_clear_line, run
from swinseg.engine import load_config

CONFIG = Path(__file__).parents[2] / 'configs' / 'upernet_swin_t_binary.py'
SMALL = (
    'model.backbone.embed_dims=16', 'model.backbone.depths=[1,1,1,1]', 'model.backbone.num_heads=[1,2,4,8]',
    'model.backbone.init_cfg=None', 'model.decode_head.in_channels=[16,32,64,128]',
    'model.decode_head.channels=16', 'model.auxiliary_head.in_channels=64', 'model.auxiliary_head.channels=16',
    'crop_size=(64,64)', 'image_scale=(512,128)', 'train_dataloader.batch_size=2',
    'effective_batch=accumulation', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
    *(f'{part}_dataloader.{key}' for part in ('train', 'val', 'test')
      for key in ('num_workers=0', 'persistent_workers=False')),
)  # fmt: skip


def _options(root: Path, *more: str) -> tuple[str, ...]:
    return ('--cfg-options', *SMALL, f'data_root={root}', *more)


def _make_discs(root: Path, *, grays: bool = False) -> None:
    """Write photographs of a bright disc on a dark ground, with masks of 0 and 255."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    for part, count in (('train', 2), ('val', 1)):
        for folder in ('images', 'masks'):
            (root / folder / part).mkdir(parents=True)
        for number in range(count):
            inside = (rows - rng.integers(30, 60)) ** 2 + (
                columns - rng.integers(40, 80)
            ) ** 2 < 400
            pixels = rng.integers(0, 60, (96, 128, 3)) + 150 * inside[..., None]
            Image.fromarray(pixels.astype(np.uint8)).save(root / 'images' / part / f'{number}.jpg')
            mask = Image.fromarray((255 * inside).astype(np.uint8))
            if grays:
                mask = mask.resize((64, 48), Image.Resampling.BILINEAR).resize((128, 96))
            mask.save(root / 'masks' / part / f'{number}.png')


def _train_test_and_segment(work: Path, options: tuple[str, ...], image: Path) -> set[int]:
    assert run('train', CONFIG, '--work-dir', work, '--seed', '0', *options) == 0
    (best,) = work.glob('best_mIoU_*.pth')
    assert run('test', CONFIG, best, '--work-dir', work / 'test', *options) == 0
    assert run('segment', best, image, '--out', work / 'out') == 0
    with (
        Image.open(next((work / 'out').glob('*_labels.png'))) as labels,
        Image.open(image) as photograph,
    ):
        assert labels.size == photograph.size
        return set(np.unique(np.array(labels)).tolist())


@pytest.mark.full
def test_preset__masks_of_0_and_255(tmp_path, capsys):
    _make_discs(tmp_path / 'data')
    image = tmp_path / 'data' / 'images' / 'val' / '0.jpg'
    assert _train_test_and_segment(tmp_path / 'work', _options(tmp_path / 'data'), image) <= {0, 1}
    out = capsys.readouterr().out
    assert 'foreground' in out
    assert 'batch: 1 process x 2 images x 4 parts = 8, that of the recipe' in out


@pytest.mark.slow
def test_preset__real_masks_of_single_bits(tmp_path):
    root = os.environ.get('SWINSEG_TEST_DATA')
    if root is None:
        pytest.skip('SWINSEG_TEST_DATA is not set')
    folder = Path(root) / 'formats' / 'bit_masks_chase'
    prefixes = [
        f'{part}_dataloader.dataset.{key}'
        for part in ('train', 'val', 'test')
        for key in ('data_prefix.img_path=.', 'data_prefix.seg_map_path=.', 'img_suffix=.jpg',
                    'seg_map_suffix=_1stHO.png')
    ]  # fmt: skip
    shutil.copytree(folder, tmp_path / 'data')
    found = _train_test_and_segment(
        tmp_path / 'work', _options(tmp_path / 'data', *prefixes), folder / 'Image_06L.jpg'
    )
    assert found <= {0, 1}


def test_preset__grays_in_a_mask_are_an_error(tmp_path, capsys):
    _make_discs(tmp_path / 'data', grays=True)
    code = run('train', CONFIG, '--work-dir', tmp_path / 'work', *_options(tmp_path / 'data'))
    assert_one_clear_line(code, capsys, r'masks/train/\d\.png')


@pytest.mark.parametrize('part', ['train', 'val', 'test'])
def test_preset__both_values_of_a_set_pixel_are_the_foreground(part):
    dataset = load_config(CONFIG)[f'{part}_dataloader'].dataset
    assert dataset.label_map == {0: 0, 1: 1, 255: 1}
    assert dataset.ignore_values == []
