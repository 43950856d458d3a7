# SwinV2-L, ImageNet-22K weights at 192 (window 12) fine-tuned at 256 (window 16; 86.9% top-1), 512 x 512.
# No mIoU on ADE20K is published for these weights.
_base_ = './upernet_swinv2_b_22k_w16_ade20k.py'

model = dict(
    backbone=dict(
        embed_dims=192,
        num_heads=[6, 12, 24, 48],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12to16_192to256_22kto1k_ft.pth',
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
