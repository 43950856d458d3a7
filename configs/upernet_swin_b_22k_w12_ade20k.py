# Swin-B, ImageNet-22K weights at 384 (window 12), 512 x 512. Published mIoU on ADE20K validation, single scale /
# multi-scale + flip:
#   50.76 / 52.40  mmsegmentation's model zoo
_base_ = './upernet_swin_b_ade20k.py'

model = dict(
    backbone=dict(
        pretrain_img_size=384,
        window_size=12,
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth',
        ),
    ),
)
published_miou = 50.76
