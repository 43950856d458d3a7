"""Networks of timm as backbones: timm's own maps, for any size, and with all that a segmentor is used for."""

from __future__ import annotations

import copy
import math
import sys

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from safetensors.torch import save_file
from timm.layers import resample_patch_embed

from support.hub_server import Repository
from support.tiny_config import TIMM
from swinseg import Predictor, prepare_for_inference
from swinseg.checkpoints import CheckpointError, load_backbone_weights, load_weights
from swinseg.engine import evaluate, load_config, train
from swinseg.engine.distributed.fsdp import units_of
from swinseg.errors import ArchitectureError
from swinseg.models import SimpleFeaturePyramid, TimmBackbone
from swinseg.models.complexity import count_multiply_adds
from swinseg.models.feature_info import feature_info, image_channels, layer_groups

# One of each kind: convolutions, a patchifying stem, windows, several kinds of attention, a plain ViT with either
# kind of position embedding, and one whose windows fix what sides must be multiples of.
FAMILIES = {
    'test_resnet': dict(model_args=dict(zero_init_last=False)),  # zeros would have no gradients
    'test_convnext': {},
    'test_efficientnet': {},
    'efficientvit_b0': {},
    'pvt_v2_b0': {},
    'swin_s3_tiny_224': dict(model_args=dict(depths=(1, 1, 1, 1))),
    'test_vit': {},
    'vit_tiny_patch16_dinov3_qkvb': {},
    'vit_small_patch14_dinov2': dict(patch_stride=16, model_args=dict(depth=2)),
    'test_mambaout': {},
    'maxvit_rmlp_pico_rw_256': {},
}
PLAIN = ('test_vit', 'vit_tiny_patch16_dinov3_qkvb', 'vit_small_patch14_dinov2')
FULL = ('test_mambaout', 'test_efficientnet', 'maxvit_rmlp_pico_rw_256', 'swin_s3_tiny_224')
SIZE = (70, 100)


def _backbone(name, **options):
    torch.manual_seed(0)
    return TimmBackbone(name, **{**FAMILIES.get(name, {}), **options})


def _segmentor(name, *, num_classes=3, **options):
    settings = {**FAMILIES.get(name, {}), **options}
    channels = [info.channels for info in TimmBackbone(name, **settings).feature_info]
    neck = None
    if len(channels) == 1:
        neck = dict(type='SimpleFeaturePyramid', in_channels=channels[0], out_channels=8)
        channels = [8] * 4
    cfg = dict(
        type='SwinSegmentor',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3, size_divisor=2
        ),
        backbone=dict(type='TimmBackbone', model_name=name, **settings),
        neck=neck,
        decode_head=dict(
            type='UPerNetHead', in_channels=channels, in_index=list(range(len(channels))), channels=8,
            num_classes=num_classes, norm_cfg=dict(type='BN'), align_corners=False, dropout_ratio=0.0,
        ),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(ConfigDict(cfg))


def _batch(size=SIZE, count=2):
    generator = torch.Generator().manual_seed(1)
    images = [
        torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for _ in range(count)
    ]
    label = torch.randint(3, (1, *size), generator=generator)
    meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
    sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label))
    return {'inputs': images, 'data_samples': [sample] * count}


FAMILY = pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=pytest.mark.full if name in FULL else ()) for name in FAMILIES],
)


@FAMILY
def test_family__maps_of_any_size_are_what_is_published(name):
    backbone = _backbone(name).eval()
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 3, *SIZE))
    assert [tuple(x.shape) for x in maps] == [
        (1, info.channels, *(math.ceil(side / info.stride) for side in SIZE))
        for info in backbone.feature_info
    ]
    assert [info.stride for info in backbone.feature_info] == (
        [16] if name in PLAIN else [4, 8, 16, 32]
    )
    assert feature_info(backbone) == list(backbone.feature_info)
    assert image_channels(backbone) == 3
    assert all(len(x.unique()) > 1 for x in maps)


@FAMILY
def test_family__trains_predicts_and_is_prepared(name):
    model = _segmentor(name)
    data = model.data_preprocessor(_batch(), True)
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss, _ = model.parse_losses(model.loss(**data))
    loss.backward()
    without = [key for key, value in model.backbone.named_parameters() if value.grad is None]
    assert not without
    optimizer.step()
    assert all(not torch.equal(value, before[key]) for key, value in model.named_parameters())
    labels = model.eval().test_step(_batch(count=1))[0].pred_sem_seg.data
    assert labels.shape == (1, *SIZE)
    pixels = model.data_preprocessor(_batch(count=1), False)['inputs']
    with torch.inference_mode():
        expected = model(pixels)
        found = prepare_for_inference(model)(pixels)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        half = prepare_for_inference(model, torch.bfloat16)(pixels)
    assert half.dtype == torch.float32
    assert float((half - expected).abs().mean()) < 0.1 * float(expected.std() + 1)


@pytest.mark.parametrize('name', ['test_resnet', 'test_convnext', 'efficientvit_b0', 'test_vit'])
def test_maps__are_those_of_timm(name):
    backbone = _backbone(name).eval()
    options = dict(dynamic_img_size=True) if name == 'test_vit' else {}
    peer = timm.create_model(
        name, features_only=True, out_indices=backbone.net.indices, **options
    ).eval()
    theirs = peer.state_dict()
    # timm joins the first two parts of names of sequences, features_only.
    ours = {key.replace('net.model.', ''): value for key, value in backbone.state_dict().items()}
    by_plain = {key.replace('_', '.').removeprefix('model.'): key for key in theirs}
    peer.load_state_dict({by_plain[key.replace('_', '.')]: value for key, value in ours.items()})
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        for found, expected in zip(backbone(image), peer(image), strict=True):
            torch.testing.assert_close(found, expected)


def test_out_indices__are_those_of_the_network():
    backbone = _backbone('test_resnet', out_indices=(0, -1))
    assert backbone.feature_info == ((32, 2), (96, 32))
    with pytest.raises(
        ArchitectureError, match=r'finest first, from 0 to 4 \(0: stride 2, .* found'
    ):
        _backbone('test_resnet', out_indices=(2, 1))


def test_patch_14__is_padded_or_covers_16_pixels():
    options = dict(model_args=dict(depth=1))
    as_it_is = _backbone('vit_small_patch14_dinov2', patch_stride=None, **options).eval()
    wider = _backbone('vit_small_patch14_dinov2', **options).eval()
    assert [each.feature_info for each in (as_it_is, wider)] == [((384, 14),), ((384, 16),)]
    image = torch.randn(1, 3, 64, 96)
    resized = torch.nn.functional.interpolate(image, (56, 84), mode='bilinear')
    with torch.inference_mode():
        torch.testing.assert_close(wider(image)[0], as_it_is(resized)[0])
        assert as_it_is(image)[0].shape == (1, 384, 5, 7)
    with pytest.raises(ArchitectureError, match=r'but test_resnet has \[4, 8, 16, 32\]'):
        _backbone('test_resnet', patch_stride=16)


def test_whole_image__padded_to_the_coarsest_level_is_cut_again():
    model = _segmentor('test_vit').eval()
    plain = model.test_step(_batch(size=(64, 96), count=1))[0].pred_sem_seg.data
    model.data_preprocessor.test_cfg = dict(size_divisor=32)
    assert torch.equal(model.test_step(_batch(size=(64, 96), count=1))[0].pred_sem_seg.data, plain)
    labels = model.test_step(_batch(count=1))[0].pred_sem_seg.data
    padded = torch.nn.functional.pad(
        model.data_preprocessor(_batch(count=1), False)['inputs'][:, :, :70, :100], (0, 28, 0, 26)
    )
    with torch.inference_mode():
        logits = torch.nn.functional.interpolate(model(padded), (96, 128), mode='bilinear')
    assert torch.equal(labels[0].long(), logits[0, :, :70, :100].argmax(0))


def test_windows_and_whole_image__have_the_same_labels_where_they_are_one_window():
    model = _segmentor('test_vit').eval()
    whole = model.test_step(_batch(size=(64, 64), count=1))[0].pred_sem_seg.data
    model.test_cfg = ConfigDict(mode='slide', crop_size=(64, 64), stride=(40, 40))
    assert torch.equal(model.test_step(_batch(size=(64, 64), count=1))[0].pred_sem_seg.data, whole)
    labels = model.test_step(_batch(size=(70, 140), count=1))[0].pred_sem_seg.data
    assert labels.shape == (1, 70, 140)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mixer_s16_224', 'mixer_s16_224 of timm takes images of 224 x 224 only'),
        ('test_coatnet', 'test_coatnet of timm takes images of 160 x 160 only'),
        ('convnext_smal', "has no model 'convnext_smal', did you mean convnext_small"),
        ('hf-hub:someone/model', "has no model 'hf-hub:someone/model'"),
        ('local-dir:/tmp', "has no model 'local-dir:/tmp'"),
    ],
)
def test_build__what_cannot_work_has_a_sentence(name, message):
    with pytest.raises(ArchitectureError, match=message):
        TimmBackbone(name)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(pretrained=3), 'pretrained of TimmBackbone must be True .* found 3'),
        (dict(pretrained=True, init_cfg=dict(type='Pretrained', checkpoint='x')), 'not both'),
        (dict(drop_path_rate=1.0), 'a share from 0 to below 1, found 1.0'),
        (dict(frozen_stages=7), 'must be -1 to 4 for test_resnet, found 7'),
        (dict(frozen_stages='stem'), "from -1 on, found 'stem'"),
        (dict(in_channels=0), 'in_channels of TimmBackbone .* found 0'),
        (dict(model_args=dict(checkpoint_path='x')), 'checkpoint_path in model_args .* set pretrained instead'),
        (dict(model_args=dict(layer=3)), 'timm cannot build test_resnet with .*layer.*: .*change model_args'),
    ],
)  # fmt: skip
def test_arguments__are_checked(options, message):
    with pytest.raises(ArchitectureError, match=message):
        TimmBackbone('test_resnet', **options)


def test_without_timm__says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(
        ArchitectureError, match=r'needs the package timm.*pip install .swinseg.timm.'
    ):
        TimmBackbone('test_resnet')


def test_layers__are_those_of_timm():
    backbone = _backbone('test_convnext')
    groups = layer_groups(backbone)
    assert groups[0][0].startswith('net.model.stem')
    assert sorted(name for group in groups for name in group) == sorted(
        name for name, _ in backbone.named_parameters()
    )
    model = _segmentor('test_vit')
    settings = dict(
        type='OptimWrapper', constructor='LayerDecayConstructor', paramwise_cfg=dict(decay_rate=0.5),
        optimizer=dict(type='SGD', lr=1.0),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        wrapper = build_optim_wrapper(model, Config(dict(o=settings)).o)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(g['params'][0])]: g['lr'] for g in wrapper.optimizer.param_groups}
    blocks = len(model.backbone.net.model.blocks)
    assert rates['backbone.net.model.pos_embed'] == 0.5 ** (blocks + 1)
    assert rates['backbone.net.model.blocks.0.attn.qkv.weight'] == 0.5**blocks
    assert rates[f'backbone.net.model.blocks.{blocks - 1}.attn.qkv.weight'] == 0.5
    assert {rate for name, rate in rates.items() if name.startswith(('neck', 'decode'))} == {1.0}


def test_layers__of_a_network_that_groups_nothing_are_its_parts():
    groups = layer_groups(_backbone('poolformerv2_s12'))
    assert [group[0].split('.')[2:4] for group in groups] == [
        ['stem', 'conv'], *(['stages', str(i)] for i in range(4)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'kind', 'count'),
    [('test_convnext', 'ConvNeXtBlock', 5), ('test_vit', 'Block', 6), ('test_resnet', 'BasicBlock', 3)],
)  # fmt: skip
def test_fsdp_units__are_blocks(name, kind, count):
    kinds = [type(unit).__name__ for unit in units_of(_segmentor(name))]
    assert kinds.count(kind) >= min(count, 3)


@pytest.mark.parametrize(('name', 'stages'), [('test_resnet', 2), ('test_vit', 3)])
def test_frozen_stages__keep_weights_and_statistics(name, stages):
    model = _segmentor(name, frozen_stages=stages).train()
    state = copy.deepcopy(model.backbone.state_dict())
    data = model.data_preprocessor(_batch(), True)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model.parse_losses(model.loss(**data))[0].backward()
    optimizer.step()
    changed = {
        key for key, value in model.backbone.state_dict().items() if not torch.equal(value, state[key])
    }  # fmt: skip
    parts = {'test_resnet': ('conv1', 'bn1', 'layer1', 'layer2'), 'test_vit': (
        'cls_token', 'pos_embed', 'patch_embed', 'blocks.0.', 'blocks.1.', 'blocks.2.',
    )}[name]  # fmt: skip
    frozen = {key for key in state if key.startswith(tuple(f'net.model.{part}' for part in parts))}
    assert frozen
    assert not changed & frozen
    assert {key for key, _ in model.backbone.named_parameters()} - frozen <= changed


@pytest.mark.parametrize(
    'name',
    [
        'test_resnet',
        'test_vit',
        *(pytest.param(name, marks=pytest.mark.full) for name in ('test_convnext', 'pvt_v2_b0')),
    ],
)
def test_with_cp__same_gradients_from_fewer_activations(name):
    saved, gradients = [], []
    image = torch.randn(2, 3, 64, 64)
    for with_cp in (False, True):
        backbone = _backbone(name, with_cp=with_cp, drop_path_rate=0.0).train()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, kept=kept: (kept.append(x.numel()), x)[1], lambda x: x
        ):
            loss = sum(x.square().mean() for x in backbone(image))
        saved.append(sum(kept))
        loss.backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    assert saved[1] < 0.7 * saved[0]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_with_cp__has_a_sentence_where_timm_cannot():
    with pytest.raises(ArchitectureError, match='dla46_c of timm cannot recompute'):
        TimmBackbone('dla46_c', with_cp=True)


def test_complexity__counts_the_network():
    with torch.device('meta'):
        backbone = TimmBackbone('resnet18')
    # 1.82 G of the whole ResNet-18 at 224 pixels, less 0.5 M of its classifier.
    assert count_multiply_adds(backbone, (224, 224)) == 1_814_073_344 - 512_000


@pytest.mark.parametrize(
    'name', ['test_convnext', 'test_vit', 'vit_small_patch14_dinov2', 'test_resnet']
)
def test_weights__a_file_of_timm_fills_the_backbone(name, tmp_path):
    arguments = FAMILIES[name].get('model_args', {})
    peer = timm.create_model(name, num_classes=5, **arguments)
    path = tmp_path / 'timm.safetensors'
    save_file(peer.state_dict(), path)
    backbone, other = _backbone(name, pretrained=str(path)), _backbone(name)
    backbone.init_weights()
    receipt = load_backbone_weights(other, path)
    theirs = peer.state_dict()
    for filled in (backbone, other):
        for key, value in filled.net.model.state_dict().items():
            assert torch.equal(value, theirs[key]), key
    lines = f'weights from {path} (timm)\n  filled: 100.00% of the backbone'
    assert str(receipt).startswith(lines)
    # Its classifier, and a norm behind the last map.
    assert {key.split('.')[2] for key in receipt.unexpected} <= {'head', 'fc', 'norm'}


def test_weights__of_other_patches_in_the_names_of_dinov2():
    peer = timm.create_model('vit_small_patch14_dinov2', depth=1, num_classes=0)
    # Meta's files have a token for masked patches.
    weights = {**peer.state_dict(), 'mask_token': torch.zeros(1, 384)}
    backbone = _backbone(
        'vit_small_patch14_dinov2', patch_stride=None, model_args=dict(depth=1, patch_size=16)
    )
    assert load_backbone_weights(backbone, weights, logger=None).backbone_fraction == 1
    assert backbone.feature_info == ((384, 16),)
    theirs = resample_patch_embed(peer.patch_embed.proj.weight.detach(), (16, 16))
    assert torch.equal(backbone.net.model.patch_embed.proj.weight, theirs)


def test_weights__positions_and_channels_of_another_input(tmp_path):
    peer = timm.create_model('test_vit', img_size=96, num_classes=0)
    path = tmp_path / 'timm.pth'
    torch.save(peer.state_dict(), path)
    backbone = _backbone('test_vit', pretrained=str(path), in_channels=4)
    backbone.init_weights()
    own, theirs = (net.state_dict() for net in (backbone.net.model, peer))
    assert own['pos_embed'].shape != theirs['pos_embed'].shape
    kernel = theirs['patch_embed.proj.weight']
    expected = torch.cat([kernel, kernel[:, :1]], dim=1) * 3 / 4
    torch.testing.assert_close(own['patch_embed.proj.weight'], expected)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('test_convnext', ': timm cannot read the weights as those of test_convnext .KeyError'),
        ('test_efficientnet', r' fills 0\.0% of the backbone where 99% are needed; missing: net'),
    ],
)
def test_weights__of_another_network_are_refused(name, message, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(timm.create_model('test_resnet').state_dict(), path)
    backbone = _backbone(name, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(CheckpointError, match=rf'other.pth{message}'):
        backbone.init_weights()


def test_weights__of_a_backbone_and_of_a_segmentor_load_as_they_are(tmp_path):
    model, other = (_segmentor('test_resnet') for _ in range(2))
    torch.nn.init.ones_(model.backbone.net.model.conv1[0].weight)
    receipt = load_weights(other, model.state_dict(), strict=True, name='a segmentor', logger=None)
    assert receipt.format == 'own'
    assert torch.equal(
        other.backbone.net.model.conv1[0].weight, model.backbone.net.model.conv1[0].weight
    )
    peer = timm.create_model('test_resnet')
    receipt = load_weights(other, peer.state_dict(), name='timm', logger=None)
    assert receipt.backbone_fraction == 1
    assert torch.equal(other.backbone.net.model.conv1[0].weight, peer.conv1[0].weight)


def test_weights__that_timm_publishes_come_from_the_hub(hub, tmp_path):
    peer = timm.create_model('test_resnet')
    path = tmp_path / 'model.safetensors'
    save_file(peer.state_dict(), path)
    repository = peer.pretrained_cfg['hf_hub_id']
    hub.content.repositories[repository] = Repository({path.name: path.read_bytes()})
    backbone = _backbone('test_resnet', pretrained=True)
    backbone.init_weights()
    assert torch.equal(backbone.net.model.conv1[0].weight, peer.conv1[0].weight)
    missing = _backbone('test_convnext', pretrained=True)
    with pytest.raises(
        CheckpointError, match=r"cannot be fetched .* pretrained='FILE\.safetensors'"
    ):
        missing.init_weights()


@pytest.mark.slow
def test_config__trains_is_tested_and_segments(write_tiny_config, tmp_path, tiny_dataset):
    config = write_tiny_config(extra=TIMM)
    result = train(load_config(config), work_dir=tmp_path / 'work', seed=0)
    assert result.iterations == 4
    cfg = load_config(config)
    cfg.test_evaluator.output_dir = str(tmp_path / 'labels')
    assert 0 <= evaluate(cfg, result.last, work_dir=tmp_path / 'test')['mIoU'] <= 100
    # The config inside the file names known parts only, a name of timm's with its tag among them.
    predictor = Predictor.from_checkpoint(result.last, device='cpu')
    for image in sorted((tiny_dataset / 'images' / 'validation').iterdir()):
        tested = np.array(Image.open(tmp_path / 'labels' / f'{image.stem}.png'))
        assert np.array_equal(predictor(image).labels, tested - 1)


def test_pyramid__sizes_and_what_heads_see():
    backbone = _backbone('test_vit')
    neck = SimpleFeaturePyramid(64, 12)
    assert feature_info(backbone, neck) == [(12, 4), (12, 8), (12, 16), (12, 32)]
    maps = neck([torch.zeros(1, 64, 9, 9), torch.randn(1, 64, 5, 7)])
    assert [tuple(x.shape[2:]) for x in maps] == [(20, 28), (10, 14), (5, 7), (3, 4)]
