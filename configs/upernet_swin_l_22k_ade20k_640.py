# Swin-L, ImageNet-22K weights at 384 (window 12), 640 x 640. Published mIoU on ADE20K validation:
#   53.5 multi-scale + flip  Liu et al. 2021, table 3
# As for Swin-B at 640: the authors released no config of this row; window and sliding window are ours.
_base_ = './upernet_swin_b_22k_ade20k_640.py'

model = dict(
    backbone=dict(
        embed_dims=192,
        num_heads=[6, 12, 24, 48],
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_large_patch4_window12_384_22k_20220412-6580f57d.pth',
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
published_miou = 53.5
