# Swin-L, ImageNet-22K weights, window 7, 512 x 512. The paper's row for Swin-L is at 640 x 640
# (upernet_swin_l_22k_ade20k_640.py); its authors publish no number at 512.
_base_ = './upernet_swin_t_ade20k.py'

model = dict(
    backbone=dict(
        embed_dims=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_large_patch4_window7_224_22k_20220412-aeecf2aa.pth',
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
published_miou = None
