"""Every backbone and head of mmseg 1.2.2 with ours: a training step, a prediction, and the prepared form.

Each backbone is under ``UPerNetHead`` where that can take its maps, and each head on ``SwinBackbone``; what cannot
work says why. How exact heads are beside mmseg's is in ``test_mmseg_heads.py``.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models import backbones, decode_heads
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from support.mmseg_heads import (
    BN,
    CASCADE,
    CLASSES,
    POINT_CFG,
    POINTS,
    SEGMENTER,
    k_net,
    top,
    upernet,
)
from support.mmseg_pairs import TINY
from swinseg import prepare_for_inference
from swinseg.config.checking import check_config
from swinseg.errors import UserError
from swinseg.models.feature_info import feature_info

SIDE = 64
RESNET = dict(depth=18, base_channels=8, stem_channels=8, norm_cfg=BN, num_stages=4)
BOTTLENECK = {**RESNET, 'depth': 50, 'base_channels': 4}
VIT = dict(img_size=SIDE, patch_size=16, embed_dims=32, num_layers=2, num_heads=2)
PYRAMID = dict(type='SimpleFeaturePyramid', in_channels=32, out_channels=8)
TRANSFORMER = dict(embed_dims=[8, 16, 32, 64], num_heads=[1, 2, 4, 8], depths=[1, 1, 1, 1])


def _branches(count, blocks=1):
    return dict(
        num_modules=1, num_branches=count, block='BASIC', num_blocks=(blocks,) * count,
        num_channels=tuple(8 * 2**i for i in range(count)),
    )  # fmt: skip


HRNET = dict(
    stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
    stage2=_branches(2), stage3=_branches(3), stage4=_branches(4),
)  # fmt: skip
STDC = dict(
    type='STDCNet', stdc_type='STDCNet1', in_channels=3, channels=(8, 16, 32, 64, 128), bottleneck_type='cat',
    num_convs=4, norm_cfg=BN, act_cfg=dict(type='ReLU'), with_final_conv=False,
)  # fmt: skip

# Settings of the backbone; what else the model has, where UPerNetHead over all maps does not do.
BACKBONES = {
    'ResNet': (RESNET, {}),
    'ResNetV1c': (RESNET, {}),
    'ResNetV1d': (RESNET, {}),
    'ResNeXt': (dict(BOTTLENECK, groups=2, base_width=4), {}),
    'ResNeSt': (dict(BOTTLENECK, radix=2, reduction_factor=4), {}),
    'HRNet': (dict(extra=HRNET, norm_cfg=BN), {}),
    'FastSCNN': (
        dict(
            downsample_dw_channels=(8, 8), global_in_channels=16, global_block_channels=(16, 16, 16),
            global_out_channels=16, higher_in_channels=16, lower_in_channels=16, fusion_out_channels=16,
        ),
        {},
    ),
    'MobileNetV2': (dict(widen_factor=0.25), {}),
    'MobileNetV3': ({}, {}),
    'UNet': (
        dict(
            base_channels=4, num_stages=4, strides=(1, 1, 1, 1), enc_num_convs=(1,) * 4, dec_num_convs=(1,) * 3,
            downsamples=(True,) * 3, enc_dilations=(1,) * 4, dec_dilations=(1,) * 3,
        ),
        {},
    ),
    'CGNet': (dict(num_channels=(8, 16, 32), num_blocks=(1, 1)), {}),
    'VisionTransformer': (VIT, dict(neck=PYRAMID)),
    'BEiT': (VIT, dict(neck=PYRAMID)),
    'MAE': (VIT, dict(neck=PYRAMID)),
    'SwinTransformer': (TINY, {}),
    'MixVisionTransformer': (dict(embed_dims=8, num_layers=[1, 1, 1, 1]), {}),
    'BiSeNetV1': (
        dict(
            backbone_cfg=dict(type='ResNet', **RESNET), context_channels=(16, 32, 64), out_channels=16,
            spatial_channels=(8, 8, 8, 16),
        ),
        {},
    ),
    'BiSeNetV2': (
        dict(detail_channels=(8, 8, 16), semantic_channels=(4, 8, 16, 16), bga_channels=16), {},
    ),
    'ICNet': (
        dict(
            backbone_cfg=dict(type='ResNetV1c', **RESNET), layer_channels=(16, 64), psp_out_channels=16,
            light_branch_middle_channels=8, out_channels=(8, 16, 16),
        ),
        dict(neck=dict(type='ICNeck', in_channels=(8, 16, 16), out_channels=8)),
    ),
    'TIMMBackbone': (dict(model_name='test_resnet', pretrained=False), {}),
    'ERFNet': (
        dict(
            enc_downsample_channels=(8, 16, 32), enc_non_bottleneck_channels=(16, 32),
            enc_stage_non_bottlenecks=(1, 1), enc_non_bottleneck_dilations=(2,),
            dec_stages_non_bottleneck=(1, 1), dec_upsample_channels=(16, 8), dec_non_bottleneck_channels=(16, 8),
        ),
        {},
    ),
    'PCPVT': (TRANSFORMER, {}),
    'SVT': (TRANSFORMER | dict(mlp_ratios=[2] * 4, sr_ratios=[4, 2, 1, 1], windiow_sizes=[7] * 4), {}),
    'STDCNet': ({key: value for key, value in STDC.items() if key != 'type'}, {}),
    'STDCContextPathNet': (
        dict(
            backbone_cfg=STDC, last_in_channels=(128, 64), out_channels=16,
            ffm_cfg=dict(in_channels=48, out_channels=32, scale_factor=4),
        ),
        {},
    ),
    'PIDNet': (
        dict(channels=8, ppm_channels=8, num_stem_blocks=1, num_branch_blocks=1),
        dict(
            decode_head=dict(
                type='PIDHead', in_channels=32, channels=8, num_classes=CLASSES, align_corners=False,
                loss_decode=[
                    dict(type='CrossEntropyLoss'), dict(type='CrossEntropyLoss'), dict(type='BoundaryLoss'),
                    dict(type='OhemCrossEntropy', min_kept=100),
                ],
            ),
        ),
    ),
    'MSCAN': (
        dict(embed_dims=[8, 16, 32, 64], mlp_ratios=[2] * 4, depths=[1] * 4, norm_cfg=BN), {},
    ),
    'DDRNet': (
        dict(channels=8, ppm_channels=8),
        dict(
            decode_head=dict(
                type='DDRHead', in_channels=32, channels=8, num_classes=CLASSES, align_corners=False,
                loss_decode=[dict(type='CrossEntropyLoss'), dict(type='CrossEntropyLoss')],
            ),
        ),
    ),
}  # fmt: skip

ALL_MAPS = dict(in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3])
ONE_WIDTH = dict(neck=dict(type='FPN', in_channels=[16, 32, 64, 128], out_channels=16, num_outs=4))
# Settings of the head; what else the model has, where SwinBackbone's maps do not do.
HEADS = {
    'FCNHead': (top('FCNHead'), {}),
    'PSPHead': (top('PSPHead'), {}),
    'ASPPHead': (top('ASPPHead'), {}),
    'NLHead': (top('NLHead'), {}),
    'GCHead': (top('GCHead'), {}),
    'UPerHead': (upernet('UPerHead'), {}),
    'DepthwiseSeparableASPPHead': (
        top('DepthwiseSeparableASPPHead', c1_in_channels=16, c1_channels=8), {},
    ),
    'ANNHead': (
        top('ANNHead', in_channels=[64, 128], in_index=[2, 3], project_channels=8), {},
    ),
    'DAHead': (top('DAHead', pam_channels=8), {}),
    'OCRHead': (None, dict(type='CascadeEncoderDecoder', num_stages=2, decode_head=CASCADE)),
    'EncHead': (top('EncHead', in_channels=[64, 128], in_index=[2, 3], num_codes=4), {}),
    'DepthwiseSeparableFCNHead': (top('DepthwiseSeparableFCNHead'), {}),
    'FPNHead': (
        top('FPNHead', in_channels=[16] * 4, in_index=[0, 1, 2, 3], feature_strides=[4, 8, 16, 32]), ONE_WIDTH,
    ),
    'EMAHead': (top('EMAHead', ema_channels=16, num_bases=4, num_stages=2), {}),
    'DNLHead': (top('DNLHead'), {}),
    'PointHead': (
        None,
        dict(type='CascadeEncoderDecoder', num_stages=2, decode_head=POINTS, test_cfg=POINT_CFG,
             train_cfg=dict(num_points=16, oversample_ratio=3, importance_sample_ratio=0.75)),
    ),
    'APCHead': (top('APCHead'), {}),
    'DMHead': (top('DMHead', filter_sizes=(1, 3)), {}),
    'LRASPPHead': (
        # It averages over 49 x 49 pixels of its last map.
        top('LRASPPHead', in_channels=[16, 8, 4], in_index=[1, 2, 3], branch_channels=(8, 8),
            input_transform='multiple_select'),
        dict(backbone=dict(type='UNet', **BACKBONES['UNet'][0])),
    ),
    'SETRUPHead': (top('SETRUPHead'), {}),
    'DPTHead': (
        top('DPTHead', in_channels=[32] * 4, in_index=[0, 1, 2, 3], embed_dims=32,
            post_process_channels=[8, 16, 32, 64], input_transform='multiple_select'),
        dict(backbone=dict(type='VisionTransformer', **{**VIT, 'num_layers': 4}, out_indices=(0, 1, 2, 3),
                           output_cls_token=True)),
    ),
    'SETRMLAHead': (
        top('SETRMLAHead', in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=32, mla_channels=8),
        dict(
            backbone=dict(type='VisionTransformer', **{**VIT, 'num_layers': 4}, out_indices=(0, 1, 2, 3)),
            neck=dict(type='MLANeck', in_channels=[32] * 4, out_channels=8, norm_cfg=BN,
                      act_cfg=dict(type='ReLU')),
        ),
    ),
    'SegmenterMaskTransformerHead': (SEGMENTER, {}),
    'SegformerHead': (top('SegformerHead', **ALL_MAPS), {}),
    'ISAHead': (top('ISAHead', isa_channels=8), {}),
    'STDCHead': (
        top('STDCHead', in_channels=16, in_index=0, num_convs=1, concat_input=False, num_classes=2,
            loss_decode=[dict(type='CrossEntropyLoss', loss_name='loss_ce', use_sigmoid=True),
                         dict(type='DiceLoss', loss_name='loss_dice')]),
        dict(as_auxiliary=True),
    ),
    'IterativeDecodeHead': (k_net(), {}),
    'LightHamHead': (
        top('LightHamHead', in_channels=[32, 64, 128], in_index=[1, 2, 3], ham_channels=16,
            ham_kwargs=dict(MD_R=4), norm_cfg=dict(type='GN', num_groups=4)),
        {},
    ),
}  # fmt: skip
# Of these the rows above show what is special; the others wait for `make test-full`.
QUICK = {
    *('ResNetV1c', 'VisionTransformer', 'MixVisionTransformer', 'BiSeNetV2', 'ICNet', 'PIDNet', 'DDRNet', 'UNet'),
    *('MSCAN', 'BEiT', 'PSPHead', 'ANNHead', 'DPTHead', 'SETRMLAHead', 'FPNHead', 'EncHead', 'STDCHead'),
    *('PointHead', 'SegformerHead', 'LightHamHead'),
}  # fmt: skip
INSIDE_OTHERS = {'KernelUpdateHead', 'KernelUpdator', 'PIDHead', 'DDRHead'}
# (settings, what the sentence says, the package that would mend it)
IMPOSSIBLE = {
    'VPD': (dict(diffusion_cfg={}, class_embed_path='x'), "needs Stable Diffusion's package ldm", 'ldm'),
    'PSAHead': (top('PSAHead', mask_size=(3, 3)), 'needs PSAMask of the full mmcv', 'mmcv._ext'),
    'CCHead': (top('CCHead'), 'needs CrissCrossAttention of the full mmcv', 'mmcv._ext'),
    'MaskFormerHead': (dict(num_classes=CLASSES), 'needs mmdet, which is not installed', 'mmdet'),
    'Mask2FormerHead': (dict(num_classes=CLASSES), 'needs mmdet, which is not installed', 'mmdet'),
    'SideAdapterCLIPHead': (dict(num_classes=CLASSES), "for mmseg's MultimodalEncoderDecoder", None),
    'VPDDepthHead': ({}, "predicts depths in place of classes, for mmseg's DepthEstimator", None),
}  # fmt: skip


def _model(**settings):
    cfg = dict(
        type='SwinSegmentor',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3, size=(SIDE, SIDE)
        ),
        backbone=dict(type='SwinBackbone', **TINY),
        test_cfg=dict(mode='whole'),
    )
    cfg.update(settings)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(ConfigDict(cfg))


def _with_backbone(kind):
    options, others = BACKBONES[kind]
    backbone = dict(type=f'mmseg.{kind}', **options)
    if 'decode_head' in others:
        return _model(backbone=backbone, **others)
    with DefaultScope.overwrite_default_scope('mmseg'):
        parts = [MODELS.build(backbone)]
        if 'neck' in others:
            parts.append(MODELS.build(others['neck']))
    channels = [info.channels for info in feature_info(*parts)]
    head = {**upernet(), 'in_channels': channels, 'in_index': list(range(len(channels)))}
    return _model(backbone=backbone, decode_head=head, **others)


def _with_head(kind):
    head, others = HEADS[kind]
    others = dict(others)
    if others.pop('as_auxiliary', False):
        return _model(decode_head=upernet(), auxiliary_head=head, **others)
    return _model(**{'decode_head': head, **others})


def _batch(count=2):
    generator = torch.Generator().manual_seed(1)
    size = (SIDE, SIDE)
    images, samples = [], []
    for _ in range(count):
        images.append(torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8))
        sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
        labels = torch.randint(CLASSES, (1, *size), generator=generator)
        sample.gt_sem_seg = PixelData(data=labels)
        sample.gt_edge_map = PixelData(data=(labels == 0).long())  # PIDNet's
        samples.append(sample)
    return {'inputs': images, 'data_samples': samples}


def _marked(kinds):
    return [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.full) for kind in kinds]


@pytest.mark.parametrize('kind', _marked([*BACKBONES, *HEADS]))
def test_part__trains_predicts_and_is_prepared(kind):
    model = _with_backbone(kind) if kind in BACKBONES else _with_head(kind)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
    logs = model.train().train_step(_batch(), wrapper)
    assert torch.isfinite(logs['loss'])
    pairs = zip(model.parameters(), before, strict=True)
    assert any(not torch.equal(parameter, old) for parameter, old in pairs)
    labels = model.eval().test_step(_batch(1))[0].pred_sem_seg.data
    assert labels.shape == (1, SIDE, SIDE)
    assert int(labels.max()) < CLASSES
    data = model.data_preprocessor(_batch(1), False)
    metas = [sample.metainfo for sample in data['data_samples']]
    prepared = prepare_for_inference(model)
    with torch.inference_mode():
        logits = []
        for each in (model, prepared):
            torch.manual_seed(1)  # LightHamHead draws what it factorizes with
            logits.append(each.inference(data['inputs'], metas))
    expected, found = logits
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_table__is_complete():
    named = {*BACKBONES, *HEADS, *INSIDE_OTHERS, *IMPOSSIBLE}
    assert named == {*backbones.__all__, *decode_heads.__all__}
    assert named >= QUICK


@pytest.mark.parametrize('kind', IMPOSSIBLE)
def test_part__what_cannot_work_says_why(kind):
    settings, message, package = IMPOSSIBLE[kind]
    if package is not None and find_spec(package) is not None:
        pytest.skip(f'{package} is installed')
    part = 'backbone' if kind in backbones.__all__ else 'decode_head'
    with pytest.raises(UserError, match=f'^{part}.type={kind} .*{message}.*; .* another'):
        _model(**{'decode_head': upernet(), part: {**settings, 'type': kind}})
    if package is not None:
        model = dict(type='SwinSegmentor', **{part: {**settings, 'type': kind}})
        with pytest.raises(UserError, match=f'{part}.type={kind} in the config .*{message}'):
            check_config(Config(dict(model=model)))
