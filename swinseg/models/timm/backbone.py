"""Networks of timm (Wightman 2019, "PyTorch Image Models") as backbones of a segmentor.

Shapes: B images of H x W pixels; map i has C_i channels and the stride s_i.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from swinseg.checkpoints.loading import load_backbone_weights, read_checkpoint
from swinseg.errors import ArchitectureError, CheckpointError, quoted, shown
from swinseg.models.feature_info import FeatureInfo, forward_on_shapes
from swinseg.models.swin.arguments import is_number, is_whole
from swinseg.models.timm.networks import (
    MapsOfStages,
    build_network,
    choose_maps,
    find_divisor,
    import_timm,
    layers_of,
    pretraining_side,
    repeated_blocks,
    to_network_names,
)

_PREFIX = 'net.model.'  # MapsOfStages, and timm's network in it


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A network of timm: an image in, feature maps of the chosen stages out, for images of any size.

    The maps are those of ``timm.create_model(model_name, features_only=True)``, always as (B, C, H, W). An image
    whose sides are no multiples of what the network needs is padded at the right and bottom with zeros, and each
    map is cut to ``ceil(side / stride)``, the sizes that ``SwinBackbone`` gives.

    A plain Vision Transformer gives maps of one stride;
    :class:`~swinseg.models.simple_feature_pyramid.SimpleFeaturePyramid` as ``neck`` makes four of its last one.
    Parameters have timm's names behind ``net.model.``.

    Args:
        model_name: as in ``timm.list_models()``, with or without the tag of its weights, such as
            ``convnext_tiny.fb_in22k``.
        pretrained: True for the weights that timm publishes under this name, or a path or address of a file with
            timm's names, or with those that timm reads for this family. False draws random weights.
        in_channels: channels of the image; weights for three are adapted as timm does.
        out_indices: the maps to return, counted from 0 in the network's ``feature_info``, negative ones from
            the end; None for the last one of each stride from 4 on.
        drop_path_rate: stochastic depth, in [0, 1); None leaves it to timm.
        patch_stride: of a network with one stride, the pixels of the image that a patch is to cover: the image
            is resized (bilinear) so that a patch of 14 pixels covers 16, say. None leaves the image as it is.
        with_cp: recompute activations in the backward pass instead of keeping them (``set_grad_checkpointing``).
        frozen_stages: freeze what precedes the stages and this many of these, as timm groups them (blocks of a
            plain Vision Transformer count as stages); -1 freezes nothing.
        model_args: further arguments of the network, as ``timm.create_model`` takes them.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH_OR_URL, minimum=0.99)`` loads a file as ``pretrained``
            does, and fails when fewer than ``minimum`` of the parameters are found.

    Raises:
        ArchitectureError: timm is not installed, does not know the name or an argument, or the network takes
            images of one size only.
    """

    weight_format = 'timm'

    def __init__(
        self,
        model_name: str,
        *,
        pretrained: bool | str = False,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float | None = None,
        patch_stride: int | None = None,
        with_cp: bool = False,
        frozen_stages: int = -1,
        model_args: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=None if init_cfg is None else dict(init_cfg))
        _check_arguments(
            pretrained, in_channels, drop_path_rate, patch_stride, frozen_stages, init_cfg
        )
        self.in_channels = in_channels
        self.model_name = model_name
        self.pretrained = pretrained
        self.frozen_stages = frozen_stages
        net = build_network(
            model_name,
            in_channels=in_channels,
            drop_path_rate=drop_path_rate,
            arguments=model_args,
        )
        indices = choose_maps(net, out_indices, model_name)
        published: Any = net.feature_info
        infos = [(published[i]['num_chs'], published[i]['reduction']) for i in indices]
        self.net = MapsOfStages(net, indices)
        self.patch_size = infos[0][1]
        self.patch_stride = self._checked_patch_stride(patch_stride, infos)
        self._divisor = find_divisor(
            self._map_shapes,
            infos,
            pretraining_side=pretraining_side(net, model_args or {}),
            name=model_name,
        )
        self.feature_info = tuple(
            FeatureInfo(channels, patch_stride or stride) for channels, stride in infos
        )
        if with_cp:
            self._checkpoint_activations()
        self._freeze()

    def layer_groups(self) -> list[tuple[str, ...]]:
        """Return names of parameters, layer by layer, by the network's own ``group_matcher``."""
        groups = layers_of(self._network, coarse=False)
        return [tuple(f'{_PREFIX}{name}' for name in group) for group in groups]

    def fsdp_units(self) -> list[nn.Module]:
        """Return the network's repeated blocks."""
        return repeated_blocks(self._network)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            image: (B, in_channels, H, W), any size, normalized as in pretraining.

        Returns:
            One (B, C_i, ceil(H / s_i), ceil(W / s_i)) for each of ``feature_info``, finest first; of networks that
            do not pad their layers up to four pixels less.
        """
        height, width = image.shape[2:]
        maps = self.net(self._fitted(image))
        return [
            x[:, :, : math.ceil(height / info.stride), : math.ceil(width / info.stride)]
            for x, info in zip(maps, self.feature_info, strict=True)
        ]

    def from_library(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of this module.

        Args:
            state_dict: in timm's names, or in others that timm reads for this family.

        Raises:
            CheckpointError: timm's function for this family cannot read them.
        """
        try:
            weights = to_network_names(self._network, state_dict, self.model_name, self.in_channels)
        except Exception as error:  # of whatever kind for a file of another network
            reason = shown(' '.join(str(error).split()), most=120)
            raise CheckpointError(
                f'timm cannot read the weights as those of {self.model_name} ({type(error).__name__}: {reason}); '
                'use a file of this network'
            ) from error
        return {f'{_PREFIX}{key}': value for key, value in weights.items()}

    def init_weights(self) -> None:
        """Load the weights that ``pretrained`` or ``init_cfg`` names; random ones stay as timm has drawn them.

        Raises:
            CheckpointError: they cannot be read, or do not fill this network.
        """
        if self.init_cfg is not None:
            minimum = self.init_cfg.get('minimum', 0.99)
            load_backbone_weights(self, self.init_cfg['checkpoint'], minimum=minimum)
        elif self.pretrained is True:
            name, weights = self._published_weights()
            load_backbone_weights(self, weights, name=name)
        elif self.pretrained:
            load_backbone_weights(self, self.pretrained)

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set the training mode and keep frozen stages in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    @property
    def _network(self) -> Any:
        """Timm's network itself."""
        return self.net.model

    def _fitted(self, image: Tensor) -> Tensor:
        """Pad (B, C, H, W) to a multiple of what the network takes, and resize it for ``patch_stride``."""
        divisor = self.patch_stride or self._divisor
        down, right = (-side % divisor for side in image.shape[2:])
        if down or right:
            image = F.pad(image, (0, right, 0, down))
        if self.patch_stride is None:
            return image
        size = [side // divisor * self.patch_size for side in image.shape[2:]]
        return F.interpolate(image, size, mode='bilinear', align_corners=False)

    def _map_shapes(self, size: tuple[int, int]) -> list[tuple[int, ...]]:
        """Return the shapes of the network's maps, computed without memory."""
        image = torch.empty(1, self.in_channels, *size, device='meta')
        return [tuple(x.shape[1:]) for x in forward_on_shapes(self.net, image)]

    def _checked_patch_stride(
        self, patch_stride: int | None, infos: Sequence[tuple[int, int]]
    ) -> int | None:
        strides = sorted({stride for _, stride in infos})
        if patch_stride is not None and len(strides) > 1:
            raise ArchitectureError(
                f'patch_stride of TimmBackbone is for networks with one stride, such as Vision Transformers, but '
                f'{self.model_name} has {strides}; leave it out'
            )
        return patch_stride

    def _checkpoint_activations(self) -> None:
        try:
            self._network.set_grad_checkpointing(True)
        except (AttributeError, AssertionError) as error:
            raise ArchitectureError(
                f'{self.model_name} of timm cannot recompute its activations; leave with_cp out'
            ) from error

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        groups = layers_of(self._network, coarse=True)
        if self.frozen_stages >= len(groups):
            raise ArchitectureError(
                f'frozen_stages of TimmBackbone must be -1 to {len(groups) - 1} for {self.model_name}, found '
                f'{self.frozen_stages}'
            )
        frozen = {name for group in groups[: self.frozen_stages + 1] for name in group}
        for name, parameter in self._network.named_parameters():
            if name in frozen:
                parameter.requires_grad = False
        for module in self._network.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()

    def _published_weights(self) -> tuple[str, Mapping[str, Any]]:
        """Return what timm publishes under the model's name, and where it is from."""
        timm = import_timm()
        settings = self._network.pretrained_cfg
        repository, address = settings.get('hf_hub_id'), settings.get('url')
        help_ = "give a file instead: pretrained='FILE.safetensors'"
        if repository:
            file = settings.get('hf_hub_filename')
            try:
                weights = timm.models.load_state_dict_from_hf(repository, *([file] if file else []))
            except Exception as error:  # of the hub, of the connection, of the file
                reason = shown(' '.join(str(error).split()), most=200)
                raise CheckpointError(
                    f'the weights {repository} of {self.model_name} cannot be fetched from the Hugging Face hub '
                    f'({type(error).__name__}: {reason}); {help_}'
                ) from error
            return f'{repository} (Hugging Face hub)', weights
        if address and not address.endswith('.npz'):
            return address, read_checkpoint(address)
        raise CheckpointError(f'timm publishes no weights of {self.model_name}; {help_}')


def _check_arguments(
    pretrained: object,
    in_channels: object,
    drop_path_rate: object,
    patch_stride: object,
    frozen_stages: object,
    init_cfg: object,
) -> None:
    if not isinstance(pretrained, bool | str):
        raise ArchitectureError(
            'pretrained of TimmBackbone must be True for the weights that timm publishes, a path or an address of '
            f'a file, or False, found {quoted(pretrained)}'
        )
    if pretrained and init_cfg is not None:
        raise ArchitectureError('give either init_cfg or pretrained to TimmBackbone, not both')
    for name, value, least, is_optional in (
        ('in_channels', in_channels, 1, False),
        ('patch_stride', patch_stride, 1, True),
        ('frozen_stages', frozen_stages, -1, False),
    ):
        if not is_whole(value, least=least) and not (is_optional and value is None):
            raise ArchitectureError(
                f'{name} of TimmBackbone must be a whole number from {least} on, found {quoted(value)}'
            )
    if drop_path_rate is None:
        return
    if (
        not isinstance(drop_path_rate, int | float)
        or not is_number(drop_path_rate)
        or not 0 <= drop_path_rate < 1
    ):
        raise ArchitectureError(
            f'drop_path_rate of TimmBackbone must be a share from 0 to below 1, found {quoted(drop_path_rate)}'
        )
