"""Layer-wise learning-rate decay: the earlier a layer, the less its pretrained weights are moved."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from swinseg.errors import ConfigError
from swinseg.models.feature_info import is_part_of, layer_groups


def layer_of(name: str, groups: Sequence[Sequence[str]]) -> int:
    """Return the number of the layer that a parameter of a segmentor belongs to.

    Args:
        name: of the parameter, as in ``named_parameters()`` of the segmentor.
        groups: of the backbone, as :func:`~swinseg.models.feature_info.layer_groups` returns them.

    Returns:
        Its index in ``groups``; ``len(groups)`` for what is in none of them and for heads.
    """
    own = name.removeprefix('backbone.')
    if own != name:
        for index, group in enumerate(groups):
            if any(is_part_of(own, part) for part in group):
                return index
    return len(groups)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with the learning rate of layer l multiplied by ``decay_rate ** (L - l)``.

    The backbone publishes its L layers (:mod:`swinseg.models.feature_info`) and :func:`layer_of` tells l, so heads
    keep the learning rate. Everything else that ``paramwise_cfg`` may contain keeps its meaning: factors of
    ``custom_keys`` multiply, and norms and position tables without weight decay still have none. In a config::

        optim_wrapper = dict(
            constructor='LayerDecayConstructor', paramwise_cfg=dict(decay_rate=0.9)
        )

    Raises:
        ConfigError: ``decay_rate`` is missing or not between 0 and 1, or there is no backbone.
        ArchitectureError: the backbone publishes layers that it does not have.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('decay_rate')
        if not isinstance(rate, float | int) or not 0 < rate <= 1:
            raise ConfigError(
                'LayerDecayConstructor needs optim_wrapper.paramwise_cfg.decay_rate above 0 and up to 1, '
                f'such as 0.9, found {rate!r}'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the optimizer wrapper for ``model``."""
        wrapper = super().__call__(model)
        bare = getattr(model, 'module', model)
        backbone = getattr(bare, 'backbone', None)
        if backbone is None:
            raise ConfigError(
                f'LayerDecayConstructor needs a segmentor with a backbone, found {type(bare).__name__}; leave '
                'optim_wrapper.constructor out'
            )
        groups = layer_groups(backbone)
        names = {id(parameter): name for name, parameter in bare.named_parameters()}
        for group in wrapper.optimizer.param_groups:
            (parameter,) = group['params']  # with any paramwise_cfg each has a group of its own
            distance = len(groups) - layer_of(names[id(parameter)], groups)
            group['lr'] *= self.paramwise_cfg['decay_rate'] ** distance
        return wrapper
