# SwinV2-L, ImageNet-22K weights at 192 (window 12) fine-tuned at 384 (window 24; 87.6% top-1), 512 x 512.
# No mIoU on ADE20K is published for these weights.
_base_ = './upernet_swinv2_l_22k_w16_ade20k.py'

model = dict(
    backbone=dict(
        window_size=24,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to24_192to384_22kto1k_ft.pth',
        ),
    ),
)
