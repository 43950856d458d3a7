# SwinV2-S, window 8, ImageNet-1K weights at 256 (83.7% top-1), 512 x 512.
# No mIoU on ADE20K is published for it.
_base_ = './upernet_swinv2_t_w8_ade20k.py'

model = dict(
    backbone=dict(
        depths=[2, 2, 18, 2],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_small_patch4_window8_256.pth',
        ),
    ),
)
