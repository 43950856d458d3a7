"""Estimates of steps on GPUs: counted by hand, and beside what mmsegmentation published."""

import pytest
import torch
from torch import nn

from support.mmseg_pairs import TINY, VARIANTS, build_segmentor, without_drawing
from swinseg.models.complexity import count_multiply_adds
from swinseg.models.losses import SigmoidCrossEntropyLoss, SigmoidDiceLoss
from swinseg.models.roofline import (
    DEVICES,
    KERNEL_OF_THE_HOST,
    MEMORY_REACHES,
    PRODUCTS_REACH,
    count,
    estimate,
    format_estimates,
)

V100 = DEVICES['v100']


def test_count__a_product_and_a_view_by_hand():
    layer = nn.Linear(64, 32, bias=False, device='meta')
    x = torch.empty(10, 64, device='meta')

    def step():
        with torch.no_grad():
            return layer(x).view(5, 2, 32).relu()

    work = count(step)
    bytes_of_product = 4 * (10 * 64 + 64 * 32 + 10 * 32)
    assert work.kernels == [(2 * 10 * 64 * 32, bytes_of_product), (0, 2 * 4 * 10 * 32)]
    assert work.multiply_adds == 10 * 64 * 32
    # The product is alive while its activation is made.
    assert work.peak == 2 * 4 * 10 * 32
    product = max(
        2 * 10 * 64 * 32 / (15.7e12 * PRODUCTS_REACH), bytes_of_product / (900e9 * MEMORY_REACHES)
    )
    activation = 2 * 4 * 10 * 32 / (900e9 * MEMORY_REACHES)
    assert work.seconds(V100, 'float32') == pytest.approx(product + activation)
    assert work.host_seconds == 2 * KERNEL_OF_THE_HOST


def test_estimate__counts_what_the_complexity_is():
    model = build_segmentor(stock=False, backbone=TINY, channels=32, num_classes=7)
    found = estimate(model, (96, 128), V100)
    assert found.work.multiply_adds == count_multiply_adds(model, (96, 128))
    weights = sum(4 * p.numel() for p in model.parameters())
    assert found.memory == weights + found.work.peak
    assert all(p.device.type == 'cpu' for p in model.parameters())


def test_estimate__training_of_several_classes_at_a_pixel():
    model = build_segmentor(
        stock=False, backbone=TINY, channels=32, num_classes=7, multi_label=True
    )
    model.decode_head.loss_decode = SigmoidCrossEntropyLoss()
    model.auxiliary_head.loss_decode = SigmoidDiceLoss()
    forward = estimate(model, (96, 128), V100, batch=2)
    training = estimate(model, (96, 128), V100, batch=2, is_training=True)
    assert 2.5 < training.work.multiply_adds / forward.work.multiply_adds < 4


def test_estimate__training_takes_three_times_the_products_and_half_precision_less_time():
    model = build_segmentor(stock=False, backbone=TINY, channels=32, num_classes=7)
    forward = estimate(model, (96, 128), V100, batch=2)
    training = estimate(model, (96, 128), V100, batch=2, is_training=True)
    assert 2.5 < training.work.multiply_adds / forward.work.multiply_adds < 4
    assert training.memory > forward.memory
    half = estimate(model, (96, 128), V100, batch=2, is_training=True, dtype='float16')
    assert half.device_seconds < training.device_seconds


@pytest.mark.slow
@pytest.mark.parametrize(
    ('variant', 'gigabytes', 'images_per_second'),
    [
        ('T', 5.02, 21.06),
        pytest.param('S', 6.17, 14.72, marks=pytest.mark.full),
        pytest.param('B', 7.61, 12.65, marks=pytest.mark.full),
    ],
)
def test_estimate__is_near_what_mmsegmentation_published(variant, gigabytes, images_per_second):
    """On a V100: training with two images, and prediction of an ADE20K image, 512 x 683 as a rule, one by one."""
    with without_drawing():
        stock = build_segmentor(stock=True, backbone=dict(VARIANTS[variant], window_size=7))
    predicted = estimate(stock, (512, 683), V100)
    assert 1 / predicted.seconds == pytest.approx(images_per_second, rel=0.25)
    trained = estimate(stock, (512, 512), V100, batch=2, is_training=True)
    assert trained.memory / 1e9 == pytest.approx(gigabytes, rel=0.25)


def test_format_estimates():
    model = build_segmentor(stock=False, backbone=TINY, channels=32, num_classes=7)
    table = format_estimates(model, [64], DEVICES['h100'], dtype='bfloat16', batch=4)
    head, names, predict, train = table.splitlines()
    assert head.startswith('H100 SXM5, bfloat16, 4 at a time: an estimate')
    assert len(names) == len(predict) == len(train)
    assert predict.split()[3] == 'predict'
    assert train.split()[3] == 'train'
