# SwinV2-B, ImageNet-22K weights at 192 (window 12) fine-tuned at 384 (window 24; 87.1% top-1), 512 x 512.
# No mIoU on ADE20K is published for it.
_base_ = './upernet_swinv2_b_22k_w16_ade20k.py'

model = dict(
    backbone=dict(
        window_size=24,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to24_192to384_22kto1k_ft.pth',
        ),
    ),
)
