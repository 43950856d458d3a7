"""Layer-wise learning-rate decay: the earlier a layer, the less its pretrained weights are moved."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from swinseg.engine.errors import ConfigError

_PLACE = re.compile(r'backbone\.stages\.(\d+)\.(?:blocks\.(\d+)|downsample)\.')
_FIRST = 'backbone.patch_embed.'


def layer_of(name: str, depths: Sequence[int]) -> int:
    """Return the number of the layer that a parameter of a segmentor with a Swin backbone belongs to.

    As the authors of Swin number them for fine-tuning (Xie et al. 2022, "SimMIM"): 0 is the patch embedding,
    blocks count from 1 through all stages, patch merging belongs to the last block before it, and what is left,
    norms of the outputs, heads and an absolute position embedding, comes last. (Of a ViT the same authors, and
    mmseg, put that embedding first; ``custom_keys`` can lower its rate here.)

    Args:
        name: of the parameter, as in ``named_parameters()`` of the segmentor.
        depths: number of blocks of each stage.

    Returns:
        0 to ``sum(depths) + 1``.
    """
    if name.startswith(_FIRST):
        return 0
    place = _PLACE.match(name)
    if place is None:
        return sum(depths) + 1
    stage = int(place[1])
    return sum(depths[:stage]) + (depths[stage] if place[2] is None else int(place[2]) + 1)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SwinLayerDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with the learning rate of layer l multiplied by ``decay_rate ** (L + 1 - l)``.

    L is the number of blocks and :func:`layer_of` tells l, so heads keep the learning rate. Everything else that
    ``paramwise_cfg`` may contain keeps its meaning: factors of ``custom_keys`` multiply, and norms and position
    tables that have no weight decay still have none. In a config::

        optim_wrapper = dict(
            constructor='SwinLayerDecayConstructor', paramwise_cfg=dict(decay_rate=0.9)
        )

    Raises:
        ConfigError: ``decay_rate`` is missing or not between 0 and 1, or the backbone is no Swin.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('decay_rate')
        if not isinstance(rate, float | int) or not 0 < rate <= 1:
            raise ConfigError(
                'SwinLayerDecayConstructor needs optim_wrapper.paramwise_cfg.decay_rate above 0 and up to 1, '
                f'such as 0.9, found {rate!r}'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the optimiser wrapper for ``model``."""
        wrapper = super().__call__(model)
        bare = getattr(model, 'module', model)
        stages = getattr(getattr(bare, 'backbone', None), 'stages', None)
        if stages is None:
            raise ConfigError(
                'SwinLayerDecayConstructor needs a segmentor with a Swin backbone; for another leave '
                'optim_wrapper.constructor out'
            )
        depths = [len(stage.blocks) for stage in stages]
        names = {id(parameter): name for name, parameter in bare.named_parameters()}
        for group in wrapper.optimizer.param_groups:
            (parameter,) = group['params']  # with any paramwise_cfg each has a group of its own
            distance = sum(depths) + 1 - layer_of(names[id(parameter)], depths)
            group['lr'] *= self.paramwise_cfg['decay_rate'] ** distance
        return wrapper
