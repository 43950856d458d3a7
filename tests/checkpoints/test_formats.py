"""Every library's real model, with random weights, must give the same features after conversion."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import swinseg  # noqa: F401  (repairs torchvision's import)
from swinseg.checkpoints import formats
from swinseg.errors import CheckpointError

BACKBONES = ['SwinTransformer', 'SwinBackbone']
SEGMENTORS = ['mmseg', 'swinseg']
TOLERANCE = 2e-5


class OfficialAttention(nn.Module):
    """Window attention in the official code's names; the bias is looked up by plain loops."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        tokens = [(row, column) for row in range(window) for column in range(window)]
        index = [
            [(a - c + window - 1) * (2 * window - 1) + (b - d + window - 1) for c, d in tokens]
            for a, b in tokens
        ]
        self.register_buffer('relative_position_index', torch.tensor(index))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        windows, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(windows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5
        scores = scores + self.relative_position_bias_table[self.relative_position_index].permute(
            2, 0, 1
        )
        scores = scores + mask.repeat(windows // len(mask), 1, 1)[:, None]
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(windows, tokens, dim))


class OfficialBlock(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, shift: int, side: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = OfficialAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict({'fc1': nn.Linear(dim, 4 * dim), 'fc2': nn.Linear(4 * dim, dim)})
        # Tokens that the roll brings together from opposite borders must not see each other.
        zone = torch.zeros(side, side)
        if shift:
            border = torch.arange(side)
            part = (border >= side - window).int() + (border >= side - shift).int()
            zone = 3.0 * part[:, None] + part[None, :]
        zone = self.partition(zone[None, :, :, None])[..., 0]
        mask = -100.0 * (zone[:, None, :] != zone[:, :, None]).float()
        self.register_buffer('attn_mask', mask)

    def partition(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        w = self.window
        x = x.view(batch, height // w, w, width // w, w, dim).transpose(2, 3)
        return x.reshape(-1, w * w, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        w = self.window
        rolled = self.norm1(x).roll((-self.shift, -self.shift), (1, 2))
        attended = self.attn(self.partition(rolled), self.attn_mask)
        attended = attended.view(batch, height // w, width // w, w, w, dim).transpose(2, 3)
        x = x + attended.reshape(x.shape).roll((self.shift, self.shift), (1, 2))
        return x + self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(x))))


class OfficialMerging(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        corners = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (row, column), the published order
        x = torch.cat([x[:, row::2, column::2] for row, column in corners], dim=-1)
        return self.reduction(self.norm(x))


class OfficialSwin(nn.Module):
    """The published network in the names of Microsoft's files: four stages, merging at a stage's end."""

    def __init__(self, embed_dims: int, depths, num_heads, window_size: int, side: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict(
            {'proj': nn.Conv2d(3, embed_dims, 4, 4), 'norm': nn.LayerNorm(embed_dims)}
        )
        self.absolute_pos_embed = nn.Parameter(torch.empty(1, (side // 4) ** 2, embed_dims))
        self.layers = nn.ModuleList()
        for i, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            dim, tokens = embed_dims << i, side // (4 << i)
            blocks = [
                OfficialBlock(dim, heads, window_size, (j % 2) * (window_size // 2), tokens)
                for j in range(depth)
            ]
            layer = nn.ModuleDict({'blocks': nn.ModuleList(blocks)})
            if i + 1 < len(depths):
                layer['downsample'] = OfficialMerging(dim)
            self.layers.append(layer)
        self.norm = nn.LayerNorm(embed_dims << (len(depths) - 1))
        self.head = nn.Linear(embed_dims << (len(depths) - 1), 10)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.patch_embed['proj'](image).permute(0, 2, 3, 1)
        x = self.patch_embed['norm'](x)
        x = x + self.absolute_pos_embed.view(1, *x.shape[1:])
        outputs = []
        for layer in self.layers:
            for block in layer['blocks']:
                x = block(x)
            outputs.append(x)
            if 'downsample' in layer:
                x = layer['downsample'](x)
        return outputs


@pytest.fixture
def image():
    return torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def official(small, randomize):
    model = OfficialSwin(**small, side=256).eval()
    randomize(model)
    return model


@pytest.fixture
def upernet(small, randomize):
    transformers = pytest.importorskip('transformers')
    config = transformers.UperNetConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=small['embed_dims'],
            depths=list(small['depths']),
            num_heads=list(small['num_heads']),
            window_size=small['window_size'],
            image_size=256,
            out_features=['stage1', 'stage2', 'stage3', 'stage4'],
        ),
        hidden_size=24,
        auxiliary_channels=12,
        num_labels=7,
    )
    model = transformers.UperNetForSemanticSegmentation(config).eval()
    randomize(model)
    return model


def hugging_face_swin(small, randomize, **changes):
    transformers = pytest.importorskip('transformers')
    config = transformers.SwinConfig(
        embed_dim=small['embed_dims'],
        depths=list(small['depths']),
        num_heads=list(small['num_heads']),
        window_size=small['window_size'],
        image_size=256,
        **changes,
    )
    model = transformers.SwinModel(config).eval()
    randomize(model)
    return model


def published_names(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename what transformers 5 has in memory to what the published files (written by transformers 4) say."""
    renames = [
        (r'(^|backbone\.)swin\.(embeddings|encoder)', r'\1\2'),
        (r'attention\.q_proj', 'attention.self.query'),
        (r'attention\.k_proj', 'attention.self.key'),
        (r'attention\.v_proj', 'attention.self.value'),
        (r'attention\.o_proj', 'attention.output.dense'),
        (r'attention\.relative_position_bias\.relative', 'attention.self.relative'),
        (r'mlp\.fc1', 'intermediate.dense'),
        (r'mlp\.fc2', 'output.dense'),
    ]
    output = {}
    for key, value in state_dict.items():
        if key.startswith('backbone.swin.layernorm'):
            continue  # published segmentation files have no such norm
        for pattern, replacement in renames:
            key = re.sub(pattern, replacement, key)
        output[key] = value
    return output


def without_affine(features: list[Tensor], channels_last: bool = True) -> list[Tensor]:
    """What a fresh output norm of mmseg makes of raw features, as (B, C, H, W)."""
    output = []
    for feature in features:
        feature = feature if channels_last else feature.permute(0, 2, 3, 1)
        output.append(F.layer_norm(feature, feature.shape[-1:]).permute(0, 3, 1, 2))
    return output


def assert_close(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def load_classifier(backbone: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load strictly but for the output norms, which a classifier does not have, and its final norm."""
    missing, unexpected = backbone.load_state_dict(weights, strict=False)
    assert all(re.match(r'norm\d\.', key) for key in missing)
    assert all(re.match(r'norm\.', key) for key in unexpected)


@torch.no_grad()
@pytest.mark.parametrize('kind', BACKBONES)
def test_to_mmseg__official_classifier(kind, official, build_backbone, image):
    state_dict = official.state_dict()
    assert formats.detect(state_dict) == 'official'
    backbone = build_backbone(kind, use_abs_pos_embed=True, pretrain_img_size=256)
    load_classifier(backbone, formats.to_mmseg(state_dict))
    assert_close(backbone(image), without_affine(official(image)))


@torch.no_grad()
@pytest.mark.parametrize('kind', SEGMENTORS)
def test_to_mmseg__official_segmentor(kind, official, build_segmentor, randomize, image):
    stock = build_segmentor('mmseg', use_abs_pos_embed=True, pretrain_img_size=256)
    randomize(stock, seed=1)
    # Microsoft's segmentation code is mmseg 0.x with their own backbone and mmseg's heads.
    state_dict = {
        f'backbone.{key}': value
        for key, value in official.state_dict().items()
        if not re.search(r'^(norm|head)\.|attn_mask', key)
    }
    embedding = state_dict['backbone.absolute_pos_embed']
    state_dict['backbone.absolute_pos_embed'] = embedding.transpose(1, 2).reshape(1, -1, 64, 64)
    for key, value in stock.state_dict().items():
        if re.match(r'backbone\.norm\d|decode_head|auxiliary_head', key):
            state_dict[key] = value
    assert formats.detect(state_dict) == 'official'

    model = build_segmentor(kind, use_abs_pos_embed=True, pretrain_img_size=256)
    model.load_state_dict(formats.to_mmseg(state_dict), strict=True)
    raw = official(image)
    norms = [getattr(stock.backbone, f'norm{i}') for i in range(4)]
    features = [norm(x).permute(0, 3, 1, 2) for norm, x in zip(norms, raw, strict=True)]
    assert_close(model.backbone(image), features)
    assert_close([model._forward(image)], [stock.decode_head(features)])
    assert_close([model.auxiliary_head(features)], [stock.auxiliary_head(features)])


@torch.no_grad()
@pytest.mark.parametrize('kind', BACKBONES)
def test_to_mmseg__timm_features(kind, small, build_backbone, randomize, image):
    pytest.importorskip('timm')
    from timm.models.swin_transformer import SwinTransformer

    model = SwinTransformer(
        img_size=256,
        embed_dim=small['embed_dims'],
        depths=small['depths'],
        num_heads=small['num_heads'],
        window_size=small['window_size'],
    ).eval()
    randomize(model)
    assert formats.detect(model.state_dict()) == 'timm'
    weights = formats.to_mmseg(model.state_dict())
    backbone = build_backbone(kind)
    load_classifier(backbone, weights)
    raw, x = [], model.patch_embed(image)
    for layer in model.layers:
        x = layer(x)
        raw.append(x)
    assert_close(backbone(image), without_affine(raw))
    # The classifier's own norm, put where mmseg has the last stage's.
    backbone.norm3.load_state_dict({'weight': weights['norm.weight'], 'bias': weights['norm.bias']})
    final = model.forward_features(image).permute(0, 3, 1, 2)
    assert_close(backbone(image)[3:], [final])


@torch.no_grad()
@pytest.mark.slow
def test_to_mmseg__timm_swin_tiny_as_feature_extractor(build_backbone, randomize):
    timm = pytest.importorskip('timm')
    model = timm.create_model(
        'swin_tiny_patch4_window7_224', pretrained=False, features_only=True, img_size=448
    ).eval()
    randomize(model)
    assert formats.detect(model.state_dict()) == 'timm'
    swin_tiny = {
        'embed_dims': 96,
        'depths': (2, 2, 6, 2),
        'num_heads': (3, 6, 12, 24),
        'window_size': 7,
    }
    backbone = build_backbone('SwinBackbone', **swin_tiny)
    load_classifier(backbone, formats.to_mmseg(model.state_dict()))
    image = torch.randn(1, 3, 448, 448)
    assert_close(backbone(image), without_affine(model(image)))


@torch.no_grad()
@pytest.mark.parametrize('kind', BACKBONES)
@pytest.mark.parametrize('size', [(256, 256), (236, 268)])
def test_to_mmseg__torchvision(kind, size, small, build_backbone, randomize):
    pytest.importorskip('torchvision')
    from torchvision.models.swin_transformer import SwinTransformer

    model = SwinTransformer(
        patch_size=[4, 4],
        embed_dim=small['embed_dims'],
        depths=list(small['depths']),
        num_heads=list(small['num_heads']),
        window_size=[small['window_size']] * 2,
    ).eval()
    randomize(model)
    assert formats.detect(model.state_dict()) == 'torchvision'
    weights = formats.to_mmseg(model.state_dict())
    backbone = build_backbone(kind)
    load_classifier(backbone, weights)
    image = torch.randn(1, 3, *size)
    raw, x = [], image
    for i, part in enumerate(model.features):
        x = part(x)
        if i % 2:
            raw.append(x)
    assert_close(backbone(image), without_affine(raw))


@torch.no_grad()
@pytest.mark.parametrize('kind', BACKBONES)
def test_to_mmseg__hugging_face_swin_model(kind, small, build_backbone, randomize, image):
    model = hugging_face_swin(small, randomize, use_absolute_embeddings=True)
    raw: list[Tensor] = []
    for layer in model.encoder.layers:
        layer.blocks[-1].register_forward_hook(lambda module, args, output: raw.append(output[0]))
    final = model(image).last_hidden_state
    raw = [x.view(1, round(x.shape[1] ** 0.5), -1, x.shape[2]) for x in raw]
    for names, state_dict in [
        ('huggingface-v5', model.state_dict()),
        ('huggingface', published_names(model.state_dict())),
    ]:
        assert formats.detect(state_dict) == names
        weights = formats.to_mmseg(state_dict)
        backbone = build_backbone(kind, use_abs_pos_embed=True, pretrain_img_size=256)
        load_classifier(backbone, weights)
        assert_close(backbone(image), without_affine(raw))
        norm = {'weight': weights['norm.weight'], 'bias': weights['norm.bias']}
        backbone.norm3.load_state_dict(norm)
        assert_close([backbone(image)[3].flatten(2).transpose(1, 2)], [final])


@torch.no_grad()
@pytest.mark.parametrize('kind', SEGMENTORS)
@pytest.mark.parametrize('size', [(256, 256), (203, 333)])
def test_to_mmseg__hugging_face_upernet(kind, size, upernet, build_segmentor):
    image = torch.randn(1, 3, *size)
    expected = upernet(image).logits
    expected_auxiliary = upernet.auxiliary_head(upernet.backbone(image).feature_maps)
    for names, state_dict in [
        ('huggingface-v5', upernet.state_dict()),
        ('huggingface', published_names(upernet.state_dict())),
    ]:
        assert formats.detect(state_dict) == names
        model = build_segmentor(kind)
        model.load_state_dict(formats.to_mmseg(state_dict), strict=True)
        logits = F.interpolate(model._forward(image), size, mode='bilinear', align_corners=False)
        assert_close([logits], [expected])
        assert_close([model.auxiliary_head(model.backbone(image))], [expected_auxiliary])


def test_to_mmseg__hugging_face_file_as_saved(upernet, build_segmentor, tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    upernet.save_pretrained(tmp_path)
    saved = safetensors.load_file(tmp_path / 'model.safetensors')
    weights = formats.to_mmseg(saved)
    assert_same(weights, formats.to_mmseg(upernet.state_dict()))


@torch.no_grad()
def test_from_mmseg__hugging_face_reads_it(upernet, build_segmentor, randomize, tmp_path, image):
    safetensors = pytest.importorskip('safetensors.torch')
    model = build_segmentor('mmseg')
    randomize(model, seed=3)
    upernet.config.save_pretrained(tmp_path)
    converted = formats.from_mmseg(model.state_dict(), 'huggingface')
    safetensors.save_file(converted, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    theirs = type(upernet).from_pretrained(tmp_path).eval()
    logits = F.interpolate(model._forward(image), (256, 256), mode='bilinear', align_corners=False)
    assert_close([logits], [theirs(image).logits])


@pytest.mark.parametrize('library', ['timm', 'torchvision'])
def test_from_mmseg__classifier_loads_it(library, small, build_backbone, randomize, image):
    pytest.importorskip(library)
    backbone = build_backbone('SwinTransformer')
    randomize(backbone, seed=4)
    converted = formats.from_mmseg(backbone.state_dict(), library)
    depths, heads, window = small['depths'], small['num_heads'], small['window_size']
    model: nn.Module
    if library == 'timm':
        from timm.models.swin_transformer import SwinTransformer as TimmSwin

        model = TimmSwin(
            img_size=256, embed_dim=16, depths=depths, num_heads=heads, window_size=window
        )
    else:
        from torchvision.models.swin_transformer import SwinTransformer as TorchvisionSwin

        model = TorchvisionSwin([4, 4], 16, list(depths), list(heads), [window, window])
    missing, unexpected = model.eval().load_state_dict(converted, strict=False)
    assert all(key.startswith('head.') for key in missing)
    assert unexpected == []
    with torch.no_grad():
        if library == 'timm':
            final = model.forward_features(image)
        else:
            final = model.norm(model.features(image))
        assert_close([final.permute(0, 3, 1, 2)], backbone(image)[3:])


def test_from_mmseg__round_trips(official, upernet, small, randomize, build_segmentor):
    """Converting there and back gives every tensor again, bit for bit."""
    classifier = {
        key: value
        for key, value in official.state_dict().items()
        if not key.startswith('head.') and not key.endswith('attn_mask')
    }
    assert_same(formats.from_mmseg(formats.to_mmseg(classifier), 'official'), classifier)

    published = published_names(upernet.state_dict())
    back = formats.from_mmseg(formats.to_mmseg(published), 'huggingface')
    indices = {key for key in back if key.endswith('relative_position_index')}
    assert len(indices) == sum(
        small['depths']
    )  # published files hold them, transformers 5 does not
    assert_same({key: value for key, value in back.items() if key not in indices}, published)

    current = {
        key: value for key, value in upernet.state_dict().items() if '.swin.layernorm.' not in key
    }
    assert_same(formats.from_mmseg(formats.to_mmseg(current), 'huggingface-v5'), current)

    swin = hugging_face_swin(small, randomize, use_absolute_embeddings=True).state_dict()
    assert_same(formats.from_mmseg(formats.to_mmseg(swin), 'huggingface-v5'), swin)

    model = build_segmentor('mmseg', use_abs_pos_embed=True, pretrain_img_size=256)
    randomize(model, seed=5)
    for target in ('mmseg', 'official', 'huggingface', 'huggingface-v5'):
        converted = formats.from_mmseg(model.state_dict(), target)
        assert formats.detect(converted) == target
        assert_same(formats.to_mmseg(converted), model.state_dict())


@pytest.mark.parametrize('library', ['timm', 'torchvision'])
def test_from_mmseg__round_trips_of_published_classifiers(library, randomize):
    module = pytest.importorskip(library)
    if library == 'timm':
        model = module.create_model('swin_tiny_patch4_window7_224', pretrained=False)
    else:
        model = module.models.swin_t(weights=None)
    randomize(model)
    state_dict = {
        key: value for key, value in model.state_dict().items() if not key.startswith('head.')
    }
    assert formats.detect(state_dict) == library
    assert_same(formats.from_mmseg(formats.to_mmseg(state_dict), library), state_dict)


@pytest.mark.parametrize('wrap', ['{}', 'backbone.{}', 'model.backbone.{}'])
@pytest.mark.parametrize('target', ['mmseg', 'official', 'timm', 'torchvision', 'huggingface'])
def test_to_mmseg__any_prefix(wrap, target, build_backbone):
    state_dict = build_backbone(out_indices=()).state_dict()
    wrapped = {
        wrap.format(key): value for key, value in formats.from_mmseg(state_dict, target).items()
    }
    assert formats.detect(wrapped) == target
    assert_same(formats.to_mmseg(wrapped), state_dict)


@pytest.mark.parametrize('target', ['mmseg', 'official', 'timm', 'torchvision', 'huggingface'])
def test_to_mmseg__leaves_its_argument_alone(target, build_backbone):
    state_dict = formats.from_mmseg(build_backbone(out_indices=()).state_dict(), target)
    before = {key: value.clone() for key, value in state_dict.items()}
    formats.to_mmseg(state_dict)
    assert_same(state_dict, before)


def test_to_mmseg__names(official):
    """Names written down by hand from Microsoft's file and mmseg's, so that both tables cannot err alike."""
    weights = formats.to_mmseg(official.state_dict())
    assert {
        'patch_embed.projection.weight',
        'stages.0.blocks.1.attn.w_msa.relative_position_bias_table',
        'stages.0.blocks.1.attn.w_msa.relative_position_index',
        'stages.2.blocks.0.ffn.layers.0.0.bias',
        'stages.2.blocks.0.ffn.layers.1.weight',
        'stages.2.downsample.reduction.weight',
        'norm.weight',
    } <= set(weights)
    assert not any('head' in key or 'attn_mask' in key for key in weights)


def test_to_mmseg__keeps_unknown_keys_for_the_receipt(official):
    weights = formats.to_mmseg({**official.state_dict(), 'layers.0.extra.weight': torch.ones(1)})
    assert 'layers.0.extra.weight' in weights


def test_to_mmseg__old_mmseg_position_embedding(build_backbone, randomize):
    backbone = build_backbone(use_abs_pos_embed=True, pretrain_img_size=64)
    randomize(backbone)
    state_dict = backbone.state_dict()
    as_map = state_dict['absolute_pos_embed'].transpose(1, 2).reshape(1, 16, 16, 16)
    assert_same(formats.to_mmseg({**state_dict, 'absolute_pos_embed': as_map}), state_dict)


@given(st.integers(1, 6), st.integers(1, 5))
def test_blocks_to_unfold__follows_nn_unfold(channels, rows):
    weight = torch.arange(rows * 4 * channels, dtype=torch.float64).view(rows, -1)
    converted = formats._blocks_to_unfold(weight)
    image = torch.randn(1, channels, 2, 2, dtype=torch.float64)
    blocks = [image[0, :, row, column] for row, column in [(0, 0), (1, 0), (0, 1), (1, 1)]]
    expected = weight @ torch.cat(blocks)
    torch.testing.assert_close(converted @ F.unfold(image, 2)[0, :, 0], expected)
    assert torch.equal(formats._unfold_to_blocks(converted), weight)


def test_detect__official_layout_of_old_timm(official):
    headless = {key: value for key, value in official.state_dict().items() if 'head' not in key}
    assert formats.detect(headless) == 'official'
    late = {key: value for key, value in headless.items() if not key.startswith('layers.0.')}
    assert formats.detect(late) == 'official'


@pytest.mark.parametrize(
    ('state_dict', 'expected'),
    [
        ({'layer1.0.conv1.weight': torch.ones(1)}, r'no known format: 1 keys such as layer1'),
        ({}, r'no known format: 0 keys such as none at all'),
    ],
)
def test_detect__unknown(state_dict, expected):
    with pytest.raises(CheckpointError, match=expected) as caught:
        formats.detect(state_dict)
    assert '\n' not in str(caught.value)


def test_detect__lists_the_known_formats():
    with pytest.raises(CheckpointError) as caught:
        formats.detect({'weight': torch.ones(1)})
    assert all(name in str(caught.value) for name in formats.FORMATS)


def test_to_mmseg__unknown_source(official):
    with pytest.raises(CheckpointError, match=r"unknown checkpoint format 'keras'; known: mmseg"):
        formats.to_mmseg(official.state_dict(), 'keras')


def test_from_mmseg__bad_input(official, build_backbone):
    with pytest.raises(CheckpointError, match='of the format official; call to_mmseg first'):
        formats.from_mmseg(official.state_dict(), 'timm')
    with pytest.raises(CheckpointError, match="unknown checkpoint format 'onnx'"):
        formats.from_mmseg(build_backbone().state_dict(), 'onnx')
    with pytest.raises(CheckpointError, match='timm has no place for absolute_pos_embed'):
        formats.from_mmseg(build_backbone(use_abs_pos_embed=True).state_dict(), 'timm')


def as_official(timm_weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename timm's weights of the second version as Microsoft's files have them, with what those hold besides."""
    output = {}
    for key, value in timm_weights.items():
        move = re.fullmatch(r'layers\.(\d)\.(downsample\..*)', key)
        output[f'layers.{int(move[1]) - 1}.{move[2]}' if move else key] = value
    attention = 'layers.0.blocks.1.attn'
    return output | {
        f'{attention}.relative_coords_table': torch.zeros(1, 7, 7, 2),
        f'{attention}.relative_position_index': torch.zeros(16, 16),
        'layers.0.blocks.1.attn_mask': torch.zeros(4, 16, 16),
        'head.weight': torch.zeros(10, 128),
    }


@torch.no_grad()
def test_second_version__round_trips(small, build_backbone, randomize, image):
    """Names of all libraries of one network, there and back; each loaded gives the same maps."""
    pytest.importorskip('timm')
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    model = SwinTransformerV2(
        img_size=256, num_classes=0, embed_dim=small['embed_dims'], depths=small['depths'],
        num_heads=small['num_heads'], window_size=small['window_size'],
    ).eval()  # fmt: skip
    randomize(model)
    weights = formats.to_mmseg(model.state_dict())
    official = as_official(model.state_dict())
    assert formats.detect(official) == 'official'
    assert_same(formats.to_mmseg(official), weights)
    names = {
        'official': 'layers.2.blocks.1.attn.cpb_mlp.0.bias',
        'timm': 'layers.2.blocks.1.attn.q_bias',
        'torchvision': 'features.5.1.attn.qkv.bias',
        'huggingface': 'encoder.layers.2.blocks.1.attention.self.query.bias',
    }
    for target, name in names.items():
        converted = formats.from_mmseg(weights, target)
        assert formats.detect(converted) == target
        assert name in converted
        assert_same(formats.to_mmseg(converted), weights)
        if target == 'huggingface':
            prefixed = {f'swinv2.{key}': value for key, value in converted.items()}
            assert_same(formats.to_mmseg(prefixed), weights)
            assert_same(formats.from_mmseg(weights, 'huggingface-v5'), converted)
    backbone = build_backbone('SwinV2Backbone')
    load_classifier(backbone, weights)
    backbone.norm3.load_state_dict({'weight': weights['norm.weight'], 'bias': weights['norm.bias']})
    assert_close(backbone(image)[3:], [model.forward_features(image).permute(0, 3, 1, 2)])


def test_second_version__what_no_format_can_hold(build_segmentor):
    model = build_segmentor('swinseg', type='SwinV2Backbone')
    assert_same(
        formats.to_mmseg(formats.from_mmseg(model.state_dict(), 'official')), model.state_dict()
    )
    with pytest.raises(CheckpointError, match='Swinv2Backbone of Hugging Face has no norms'):
        formats.from_mmseg(model.state_dict(), 'huggingface')
    key = 'features.1.0.attn.'
    damaged = {f'{key}logit_scale': torch.ones(1, 1, 1), f'{key}qkv.bias': torch.ones(4)}
    with pytest.raises(CheckpointError, match=r'qkv.bias has the shape \(4,\), but it holds'):
        formats.to_mmseg(damaged)


@pytest.fixture
def own_formats(monkeypatch):
    """Formats that a test may add to."""
    for name in ('FORMATS', '_SIGNATURES', '_TABLES'):
        monkeypatch.setattr(formats, name, dict(getattr(formats, name)))


def test_register_format__is_recognized_and_written(own_formats):
    rows = [
        ('embed.{leaf}', 'patch_embed.projection.{leaf}'),
        ('level{i}.block{j}.attention.mix.{leaf}', 'stages.{i}.blocks.{j}.attn.w_msa.qkv.{leaf}'),
        ('level{i}.merge.{leaf}', 'stages.{i}.downsample.reduction.{leaf}'),
    ]
    formats.register_format('lab', description='ours', signature=r'level\d+\.block', rows=rows)
    theirs = {
        'net.embed.weight': torch.rand(8, 3, 4, 4),
        'net.level0.block1.attention.mix.weight': torch.rand(24, 8),
        'net.level0.merge.weight': torch.rand(16, 32),
    }
    assert formats.detect(theirs) == 'lab'
    ours = formats.to_mmseg(theirs)
    # Four blocks of C channels become (channel, row, column).
    assert not torch.equal(
        ours['stages.0.downsample.reduction.weight'], theirs['net.level0.merge.weight']
    )
    back = formats.from_mmseg(ours, 'lab')
    assert set(back) == {key.removeprefix('net.') for key in theirs}
    assert all(torch.equal(back[key.removeprefix('net.')], value) for key, value in theirs.items())


def test_register_format__a_name_that_there_is(own_formats):
    with pytest.raises(CheckpointError, match="there is a checkpoint format 'timm' already"):
        formats.register_format('timm', description='', signature='x', rows=[])
