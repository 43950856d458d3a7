# SwinV2-B, window 8, ImageNet-1K weights at 256 (84.2% top-1), 512 x 512.
# No mIoU on ADE20K is published for it.
_base_ = './upernet_swinv2_t_w8_ade20k.py'

model = dict(
    backbone=dict(
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window8_256.pth',
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
