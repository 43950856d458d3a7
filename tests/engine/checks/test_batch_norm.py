"""Batches that batch norm cannot do with, found before the first of them."""

from __future__ import annotations

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import nn
from torch.utils.data import DataLoader

from swinseg.datasets.sampling import ResumableSampler
from swinseg.engine import ConfigError
from swinseg.engine.checks.batch_norm import batch_norm_advice, check_batches

POOLED = nn.Sequential(
    nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
)


def _loader(images: int, size: int, sampler=DefaultSampler, **options) -> DataLoader:
    data = list(range(images))
    by_epoch = {'by_epoch': True} if sampler == 'epochs' else {}
    kind = ResumableSampler if sampler == 'epochs' else sampler
    return DataLoader(data, batch_size=size, sampler=kind(data, **by_epoch), **options)


@pytest.mark.parametrize('sampler', [DefaultSampler, 'epochs'])
def test_check_batches__a_last_batch_of_one_image(sampler):
    model = nn.ModuleDict({'head': nn.ModuleList([POOLED])})
    expected = (
        r'last batch .* one image \(13 images in batches of 4\).*\(head\.0\): set .*drop_last=True'
    )
    with pytest.raises(ConfigError, match=expected):
        check_batches(_loader(13, 4, sampler), model)


def test_check_batches__batches_of_one_image():
    with pytest.raises(ConfigError, match=r'needs two images .*set train_dataloader\.batch_size=2'):
        check_batches(_loader(4, 1, InfiniteSampler), nn.Sequential(POOLED))


def test_check_batches__no_batch_at_all():
    with pytest.raises(ConfigError, match=r'has 3 images, too few for one batch of 4'):
        check_batches(_loader(3, 4, drop_last=True), nn.Conv2d(3, 2, 1))


@pytest.mark.parametrize(
    ('loader', 'model'),
    [
        (lambda: _loader(13, 4, drop_last=True), POOLED),
        (lambda: _loader(13, 4, ResumableSampler), POOLED),
        (lambda: _loader(13, 4, InfiniteSampler), POOLED),
        (lambda: _loader(14, 4), POOLED),
        (lambda: _loader(12, 4), POOLED),
        # A map of more than one pixel, and norms that do not look at other images.
        (lambda: _loader(13, 4), nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.BatchNorm2d(3))),
        (lambda: _loader(13, 4), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.GroupNorm(1, 3))),
        (lambda: _loader(13, 4), nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1))),
    ],
)
def test_check_batches__accepts(loader, model):
    check_batches(loader(), model)


def test_batch_norm_advice__only_of_batch_norm():
    with pytest.raises(ConfigError, match='batch norm needs two images'), batch_norm_advice():
        POOLED.train()(torch.ones(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r'^another$'), batch_norm_advice():
        raise ValueError('another')
