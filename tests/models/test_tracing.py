"""Our models under ``torch.jit.trace`` and mmengine's count of operations, which record what runs."""

from __future__ import annotations

import pytest
import torch
from mmengine.analysis import get_model_complexity_info

from support.mmseg_pairs import build_segmentor, randomize


@pytest.fixture
def model():
    # Of each layer one: a window that does not divide the maps, a shifted block, merging, maps of two sizes.
    backbone = dict(
        embed_dims=16, depths=(1, 2), num_heads=(1, 2), strides=(4, 2), out_indices=(0, 1),
        window_size=4, drop_path_rate=0.0,
    )  # fmt: skip
    head = dict(
        type='UPerNetHead', in_channels=[16, 32], in_index=[0, 1], channels=16, num_classes=4,
        pool_scales=(1, 2), norm_cfg=dict(type='BN'), align_corners=False,
    )  # fmt: skip
    parts = dict(backbone=backbone, decode_head=head, auxiliary_head=None)
    return randomize(build_segmentor(stock=False, **parts)).eval()


def _images(seed, size=(48, 60)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))


# The tracer says that sizes become constants.
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize('with_gradient', [True, False])
def test_trace__computes_what_the_model_does(model, with_gradient):
    with torch.set_grad_enabled(with_gradient):
        traced = torch.jit.trace(model, _images(0))
    with torch.no_grad():
        torch.testing.assert_close(traced(_images(1)), model(_images(1)), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_trace__leaves_no_trace_in_later_computations(model):
    images = _images(2, size=(52, 44))
    torch.jit.trace(model.backbone, images, check_trace=False)
    output = model.backbone(images)[-1]
    output.sum().backward()
    assert model.backbone.patch_embed.projection.weight.grad.isfinite().all()
    model.zero_grad()
    with torch.inference_mode():
        torch.testing.assert_close(model.backbone(images)[-1], output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('training', [True, False])
def test_complexity__is_counted_by_mmengine(model, training):
    model.train(training)
    try:
        found = get_model_complexity_info(model, inputs=(_images(0),), show_table=False)
    finally:
        model.eval()
    # The patch embedding alone has 12 x 15 patches of 48 values for each of two images.
    assert found['flops'] > 2 * 12 * 15 * 48 * 16
    assert found['params'] == sum(parameter.numel() for parameter in model.parameters())
