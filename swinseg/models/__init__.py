"""The networks: Swin and timm's backbones, UPerNet head and the segmentor that joins them."""

from swinseg.models.losses import LovaszSoftmaxLoss, SoftDiceLoss, SoftmaxFocalLoss
from swinseg.models.segmentor import SwinSegmentor
from swinseg.models.simple_feature_pyramid import SimpleFeaturePyramid
from swinseg.models.swin.backbone import SwinBackbone
from swinseg.models.swin.backbone_v2 import SwinV2Backbone
from swinseg.models.test_time_augmentation import SwinTTAModel
from swinseg.models.timm.backbone import TimmBackbone
from swinseg.models.upernet import UPerNetHead

__all__ = [
    'LovaszSoftmaxLoss',
    'SimpleFeaturePyramid',
    'SoftDiceLoss',
    'SoftmaxFocalLoss',
    'SwinBackbone',
    'SwinSegmentor',
    'SwinTTAModel',
    'SwinV2Backbone',
    'TimmBackbone',
    'UPerNetHead',
]
