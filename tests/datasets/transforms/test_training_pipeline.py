"""The training pipelines of the configs against stock mmseg's, from the file to the sample."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, TRANSFORMS

import swinseg.datasets  # noqa: F401
from support.stock_pipeline import stock_steps
from swinseg.engine import load_config

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'


def assert_same_sample(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert ours['inputs'].dtype == theirs['inputs'].dtype
    assert torch.equal(ours['inputs'], theirs['inputs'])
    mine, stock = ours['data_samples'], theirs['data_samples']
    assert mine.gt_sem_seg.data.dtype == stock.gt_sem_seg.data.dtype
    assert torch.equal(mine.gt_sem_seg.data, stock.gt_sem_seg.data)
    assert mine.metainfo == stock.metainfo


@pytest.mark.filterwarnings('ignore:`reduce_zero_label`')
@pytest.mark.parametrize(('config', 'folder'), [('ade20k', 'ade20k'), ('camvid', 'camvid')])
def test_training_pipeline__from_the_same_seed_gives_the_samples_of_mmseg(
    real_data, config, folder
):
    init_default_scope('mmseg')
    cfg = load_config(CONFIGS / f'{config}.py')
    settings = cfg.train_dataloader.dataset
    settings.data_root = str(real_data / folder)
    dataset = DATASETS.build(settings)
    stock = [TRANSFORMS.build(one) for step in settings.pipeline for one in stock_steps(dict(step))]
    shapes, flips = set(), set()
    for seed in range(24):
        info = dataset.get_data_info(seed % len(dataset))
        np.random.seed(seed)  # noqa: NPY002
        expected = info
        for step in stock:
            expected = step(expected)
        np.random.seed(seed)  # noqa: NPY002
        sample = dataset[seed % len(dataset)]
        assert_same_sample(sample, expected)
        shapes.add(sample['data_samples'].img_shape)
        flips.add(sample['data_samples'].flip)
    assert flips == {True, False}
    assert len(shapes) > 1 or config == 'camvid'
