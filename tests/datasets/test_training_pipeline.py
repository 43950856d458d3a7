"""The training pipelines of the configs against stock mmseg's, from the file to the sample."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS

import swinseg.datasets  # noqa: F401

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
STOCK_NAMES = {
    'LoadImage': 'LoadImageFromFile',
    'LoadLabel': 'LoadAnnotations',
    'TablePhotoMetricDistortion': 'PhotoMetricDistortion',
    'PackPlanes': 'PackSegInputs',
}


def stock_steps(step):
    if step['type'] != 'RandomResizeCrop':
        return [{**step, 'type': STOCK_NAMES.get(step['type'], step['type'])}]
    crop = {key: step[key] for key in ('crop_size', 'cat_max_ratio')}
    resize = {key: value for key, value in step.items() if key not in crop}
    return [{**resize, 'type': 'RandomResize'}, {**crop, 'type': 'RandomCrop'}]


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
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    settings = cfg.train_dataloader.dataset
    settings.data_root = str(real_data / folder)
    dataset = DATASETS.build(settings)
    stock = [
        TRANSFORMS.build(one) for step in settings.pipeline for one in stock_steps(step.to_dict())
    ]
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
