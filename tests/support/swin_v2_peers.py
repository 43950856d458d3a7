"""Swin Transformer V2 of timm, torchvision and Hugging Face, in the sizes of ``SwinV2Backbone``'s arguments."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import swinseg  # noqa: F401  (repairs torchvision's import)
from swinseg.benchmark.pairs import randomize
from swinseg.checkpoints import from_mmseg, to_mmseg
from swinseg.models import SwinV2Backbone

NARROW = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=8)
VARIANTS = {
    'T, window 8': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=8),
    'S, window 16': dict(
        embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window_size=16,
        pretrained_window_sizes=(16, 16, 16, 8),
    ),
    'B, window 12 to 16': dict(
        embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=16,
        pretrained_window_sizes=(12, 12, 12, 6),
    ),
    'L, window 12 to 24': dict(
        embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=24,
        pretrained_window_sizes=(12, 12, 12, 6),
    ),
}  # fmt: skip


class Peer:
    """A network of another library, and the maps of its stages as a fresh output norm leaves them.

    Args:
        library: ``'timm'``, ``'torchvision'`` or ``'huggingface'``.
        size: (height, width) that it is built for; torchvision's takes any.
        options: of ``SwinV2Backbone``.
    """

    def __init__(self, library: str, size: tuple[int, int], options: dict) -> None:
        self.library = library
        self.model = getattr(self, f'_{library}')(size, options)
        if library == 'torchvision':
            self.model.head = nn.Identity()
        self.model.eval()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Tensor]:
        raw: list[Tensor] = []
        hooks = [
            stage.register_forward_hook(lambda _m, _a, out: raw.append(self._map_of(out)))
            for stage in self._stages()
        ]
        self.model(image)
        for hook in hooks:
            hook.remove()
        return [F.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2) for x in raw]

    def _stages(self) -> list[nn.Module]:
        if self.library == 'torchvision':
            return list(self.model.features)[1::2]
        layers = self.model.layers if self.library == 'timm' else self.model.encoder.layers
        return list(layers)

    def _map_of(self, output: Tensor | tuple) -> Tensor:
        if self.library != 'huggingface':
            return output
        _, before_merging, sizes = output
        return before_merging.unflatten(1, sizes[:2])

    def _timm(self, size: tuple[int, int], options: dict) -> nn.Module:
        pytest.importorskip('timm')
        from timm.models.swin_transformer_v2 import SwinTransformerV2

        model = SwinTransformerV2(
            img_size=size,
            num_classes=0,
            embed_dim=options['embed_dims'],
            depths=options['depths'],
            num_heads=options['num_heads'],
            window_size=options['window_size'],
            pretrained_window_sizes=self._pretrained(options),
            qkv_bias=options.get('qkv_bias', True),
            dynamic_img_size=True,
        )
        randomize(model)
        return model

    def _torchvision(self, size: tuple[int, int], options: dict) -> nn.Module:
        pytest.importorskip('torchvision')
        from torchvision.models import swin_transformer

        model = swin_transformer.SwinTransformer(
            [4, 4],
            options['embed_dims'],
            list(options['depths']),
            list(options['num_heads']),
            [options['window_size']] * 2,
            block=swin_transformer.SwinTransformerBlockV2,
            downsample_layer=swin_transformer.PatchMergingV2,
        )
        randomize(model)
        return model

    def _huggingface(self, size: tuple[int, int], options: dict) -> nn.Module:
        transformers = pytest.importorskip('transformers')
        config = transformers.Swinv2Config(
            image_size=size,
            embed_dim=options['embed_dims'],
            depths=list(options['depths']),
            num_heads=list(options['num_heads']),
            window_size=options['window_size'],
            pretrained_window_sizes=list(self._pretrained(options)),
            qkv_bias=options.get('qkv_bias', True),
        )
        model = transformers.Swinv2Model(config)
        randomize(model)
        return model

    @staticmethod
    def _pretrained(options: dict) -> tuple[int, ...]:
        # Theirs is the window that the size leaves; so the unit is always named.
        return options.get('pretrained_window_sizes') or (options['window_size'],) * 4


def ours_of(peer: Peer, options: dict) -> SwinV2Backbone:
    """Return our backbone with a peer's weights, of which no tensor is left over in either direction."""
    weights = to_mmseg(peer.model.state_dict())
    backbone = SwinV2Backbone(**options).eval()
    missing, unexpected = backbone.load_state_dict(weights, strict=False)
    assert {key[:5] for key in missing} == {'norm0', 'norm1', 'norm2', 'norm3'}
    assert set(unexpected) == {'norm.weight', 'norm.bias'}
    back = from_mmseg(weights, peer.library)
    theirs = peer.model.state_dict()
    computed = ('relative_coords_table', 'relative_position_index')
    assert set(back) == {key for key in theirs if not key.endswith(computed)}
    for key, value in back.items():
        if peer.library == 'torchvision' and key.endswith('qkv.bias'):  # it does not use the key's
            value, theirs[key] = (torch.cat(each.chunk(3)[::2]) for each in (value, theirs[key]))
        assert torch.equal(value, theirs[key]), key
    return backbone


def largest_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference of any map, relative to the largest value of that map."""
    assert [x.shape for x in found] == [x.shape for x in expected]
    return max(
        float((x - y).abs().max() / y.abs().max()) for x, y in zip(found, expected, strict=True)
    )
