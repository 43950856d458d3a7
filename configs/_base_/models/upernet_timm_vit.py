# A plain Vision Transformer of timm + the simple feature pyramid + UPerNet (pip install 'swinseg[timm]'). A leaf
# names the network, and sets in_channels of the neck to its width.
_base_ = './upernet_timm.py'

model = dict(
    backbone=dict(model_name='vit_small_patch14_dinov2', drop_path_rate=0.1),
    neck=dict(type='SimpleFeaturePyramid', in_channels=384, out_channels=256),
    decode_head=dict(in_channels=[256, 256, 256, 256]),
    auxiliary_head=dict(in_channels=256),
)
