# SwinV2-B, ImageNet-22K weights at 192 (window 12) fine-tuned at 256 (window 16; 86.2% top-1), 512 x 512.
# No mIoU on ADE20K is published for it.
_base_ = './upernet_swinv2_b_w16_ade20k.py'

model = dict(
    backbone=dict(
        pretrained_window_sizes=[12, 12, 12, 6],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth',
        ),
    ),
)
