"""Small networks with random weights, in mmseg's names, shared by the tests of this package."""

from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

import swinseg.models  # noqa: F401  (registers the models)

# At 256 pixels every stage holds at least 2 x 2 windows of 4 x 4 tokens and needs no padding. With a single window
# mmseg still shifts while other libraries do not, and timm rolls before it pads.
SMALL = {
    'embed_dims': 16,
    'depths': (2, 2, 3, 2),
    'num_heads': (1, 2, 4, 8),
    'window_size': 4,
}
CHANNELS = [16, 32, 64, 128]


def randomize(module: nn.Module, seed: int = 0) -> None:
    """Give every parameter and running statistic a random value, so that any wrong permutation shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point() or name.endswith('attn_mask'):
                continue
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith('running_var'):
                value.copy_(noise.abs() + 0.5)
            elif value.dim() == 1:
                value.copy_(0.3 * noise + name.endswith('weight'))
            elif 'position' in name or 'pos_embed' in name:
                value.copy_(noise)
            else:
                value.copy_(noise / value[0].numel() ** 0.5)


@pytest.fixture(name='randomize')
def randomize_fixture():
    return randomize


@pytest.fixture
def small():
    return dict(SMALL)


@pytest.fixture
def build_backbone():
    """Build a backbone in evaluation mode; its parameters are mmseg's initial ones."""

    def build(kind: str = 'SwinTransformer', **changes) -> nn.Module:
        backbone = MODELS.build({'type': kind, **SMALL, **changes})
        backbone.eval()  # mmseg's own returns None
        return backbone

    return build


@pytest.fixture
def build_segmentor():
    """Build a segmentor in evaluation mode, of mmseg's classes or of ours."""

    def build(kind: str = 'mmseg', num_classes: int = 7, **changes) -> nn.Module:
        types = {
            'mmseg': ('EncoderDecoder', 'SwinTransformer', 'UPerHead'),
            'swinseg': ('SwinSegmentor', 'SwinBackbone', 'UPerNetHead'),
        }[kind]
        channels = [changes.get('embed_dims', 16) << stage for stage in range(4)]
        head = {'norm_cfg': {'type': 'BN'}, 'num_classes': num_classes, 'align_corners': False}
        model = MODELS.build(
            {
                'type': types[0],
                'backbone': {'type': types[1], **SMALL, **changes},
                'decode_head': {
                    'type': types[2],
                    'in_channels': channels,
                    'in_index': [0, 1, 2, 3],
                    'pool_scales': (1, 2, 3, 6),
                    'channels': 24,
                    'dropout_ratio': 0.1,
                    **head,
                },
                'auxiliary_head': {
                    'type': 'FCNHead',
                    'in_channels': channels[2],
                    'in_index': 2,
                    'channels': 12,
                    'num_convs': 1,
                    'concat_input': False,
                    **head,
                },
                'test_cfg': {'mode': 'whole'},
            }
        )
        return model.eval()

    return build
