"""mmseg's other heads on our backbone and in our segmentor: its numbers, also where they lack what most have.

A head of mmdet's (MaskFormer, Mask2Former) needs compiled ops to be built; one with its methods stands for it.
"""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from support.mmseg_heads import CASCADE, CLASSES, POINT_CFG, POINTS, SEGMENTER, k_net, top, upernet
from support.mmseg_pairs import TINY, build_segmentor, randomize
from swinseg import prepare_for_inference
from swinseg.errors import ArchitectureError
from swinseg.models.postprocess import threshold_of

SIZE = (64, 80)
SLIDE = dict(mode='slide', crop_size=(48, 48), stride=(32, 32))


def _upernet(stock):
    return upernet('UPerHead' if stock else 'UPerNetHead')


def _k_net(stock):
    return k_net(_upernet(stock))


def _dm(stock):
    return top('DMHead', filter_sizes=(1, 3), dropout_ratio=0.0)


@MODELS.register_module()
class HeadOfMasks(BaseModule):
    """A head with the methods of mmseg's ``MaskFormerHead`` and nothing else."""

    align_corners = False
    num_classes = out_channels = CLASSES
    ignore_index = 255

    def __init__(self):
        super().__init__()
        self.mask = nn.Conv2d(128, CLASSES, 1)

    def forward(self, x, samples):
        return self.mask(x[-1])

    def loss(self, x, samples, train_cfg):
        return {'loss_mask': self(x, samples).square().mean()}

    def predict(self, x, metas, test_cfg):
        shape = metas[0]['img_shape']
        return nn.functional.interpolate(self(x, None), tuple(shape), mode='bilinear')


def _masks(stock):
    return dict(type='HeadOfMasks')


def _build(head, *, stock=False, **options):
    options = {'auxiliary_head': None, 'decode_head': head(stock), **options}
    return build_segmentor(stock=stock, backbone={**TINY, 'drop_path_rate': 0.0}, **options)


def _pair(head, **options):
    stock, ours = (_build(head, stock=stock, **options) for stock in (True, False))
    randomize(stock)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return stock, ours


def _samples(count=2):
    generator = torch.Generator().manual_seed(0)
    samples = [
        SegDataSample(metainfo=dict(img_shape=SIZE, pad_shape=SIZE, ori_shape=SIZE))
        for _ in range(count)
    ]
    for sample in samples:
        labels = torch.randint(0, CLASSES, (1, *SIZE), generator=generator)
        sample.gt_sem_seg = PixelData(data=labels)
    return samples


def _images(count=2):
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('head', [_k_net, _dm, _masks], ids=['K-Net', 'DMNet', 'masks'])
def test_loss__is_that_of_mmseg(head):
    losses, gradients = [], []
    for model in _pair(head):
        found = model.train().loss(_images(), _samples())
        sum(value for name, value in found.items() if 'loss' in name).backward()
        losses.append({name: float(value.detach()) for name, value in found.items()})
        gradients.append(model.backbone.patch_embed.projection.weight.grad)
    expected, ours = losses
    assert ours == pytest.approx(expected, rel=1e-4)
    assert any('loss' in name for name in ours)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize('head', [_k_net, _dm, _masks], ids=['K-Net', 'DMNet', 'masks'])
def test_predict__labels_are_those_of_mmseg(head, test_cfg):
    labels = []
    for model in _pair(head, test_cfg=ConfigDict(test_cfg)):
        with torch.inference_mode():
            samples = model.eval().predict(_images(), _samples())
        labels.append(torch.cat([sample.pred_sem_seg.data for sample in samples]))
    expected, ours = labels
    assert len(expected.unique()) > 1
    assert (ours == expected).float().mean() > 0.9995


def test_auxiliary_head__may_be_one_without_loss_decode():
    model = _build(_upernet, auxiliary_head=[dict(type='HeadOfMasks'), _k_net(stock=False)])
    losses = model.train().loss(_images(), _samples())
    assert {'decode.loss_ce', 'aux_0.loss_mask', 'aux_1.loss_ce.s1'} <= losses.keys()


def test_threshold_of__one_score_without_a_threshold_has_a_sentence():
    model = _build(_masks)
    assert threshold_of(model) is None
    model.out_channels = 1
    with pytest.raises(ArchitectureError, match=r'HeadOfMasks gives one score .*num_classes=2'):
        threshold_of(model)


WITHOUT_CONV_SEG = {
    'cascade': dict(type='CascadeEncoderDecoder', num_stages=2, decode_head=CASCADE),
    'points': dict(
        type='CascadeEncoderDecoder', num_stages=2, decode_head=POINTS, test_cfg=POINT_CFG
    ),
    'Segmenter': dict(decode_head=SEGMENTER),
    'K-Net': dict(decode_head=_k_net(stock=False)),
    'masks': dict(decode_head=_masks(stock=False)),
}


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('parts', WITHOUT_CONV_SEG.values(), ids=WITHOUT_CONV_SEG)
def test_prepare_for_inference__heads_without_conv_seg(parts, dtype):
    model = randomize(_build(_upernet, **parts)).eval()
    metas = [sample.metainfo for sample in _samples()]
    prepared = prepare_for_inference(model, dtype)
    with torch.inference_mode():
        expected, found = (each.inference(_images(), metas) for each in (model, prepared))
    assert found.dtype == torch.float32
    spread = float(expected.std())
    assert (
        float((found - expected).abs().mean()) < (1e-4 if dtype == torch.float32 else 0.2) * spread
    )
