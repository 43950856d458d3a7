# Swin-B, ImageNet-22K weights, window 7, 512 x 512. Published mIoU on ADE20K validation, single scale /
# multi-scale + flip:
#   50.13 / 51.90  mmsegmentation 1.2.2's metafile (its README prints 50.31 for the same run)
_base_ = './upernet_swin_b_ade20k.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window7_224_22k_20220317-4f79f7c0.pth',
        ),
    ),
)
published_miou = 50.13
