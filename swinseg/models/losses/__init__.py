"""Losses of the decode heads that mmseg lacks, or computes wrongly where pixels are ignored.

Plain and class-weighted cross entropy are mmseg's ``CrossEntropyLoss``, computed by
:mod:`swinseg.models.ops.blockwise_loss`. These stand beside it, alone or in a list:

- :class:`SoftDiceLoss` (mmseg's ``DiceLoss`` counts ignored pixels, and all classes as one)
- :class:`SoftmaxFocalLoss` (mmseg's ``FocalLoss`` learns from one class only without compiled ops)
- :class:`LovaszSoftmaxLoss` (mmseg's ``LovaszLoss`` is nan without a pixel that counts)

And these for classes of which a pixel may have several, ``SwinSegmentor(multi_label=True)``:
:class:`SigmoidCrossEntropyLoss`, :class:`SigmoidDiceLoss`, :class:`SigmoidFocalLoss`.
"""

from swinseg.models.losses.dice import SoftDiceLoss
from swinseg.models.losses.focal import SoftmaxFocalLoss
from swinseg.models.losses.lovasz import LovaszSoftmaxLoss
from swinseg.models.losses.sigmoid import (
    SigmoidCrossEntropyLoss,
    SigmoidDiceLoss,
    SigmoidFocalLoss,
)

__all__ = [
    'LovaszSoftmaxLoss',
    'SigmoidCrossEntropyLoss',
    'SigmoidDiceLoss',
    'SigmoidFocalLoss',
    'SoftDiceLoss',
    'SoftmaxFocalLoss',
]
