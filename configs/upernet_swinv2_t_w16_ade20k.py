# SwinV2-T, window 16, ImageNet-1K weights at 256 (82.8% top-1), 512 x 512.
# No mIoU on ADE20K is published for it.
_base_ = './upernet_swinv2_t_w8_ade20k.py'

model = dict(
    backbone=dict(
        window_size=16,
        pretrained_window_sizes=[16, 16, 16, 8],  # the last stage had 8 x 8 tokens in pretraining
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
)
