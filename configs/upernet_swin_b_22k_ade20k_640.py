# Swin-B, ImageNet-22K weights at 384 (window 12), 640 x 640. Published mIoU on ADE20K validation:
#   51.6 multi-scale + flip  Liu et al. 2021, table 3
# The authors released neither weights nor a config of this row. Crop and weights are the paper's (22K, 640);
# the window of 12 and the sliding window below (stride two thirds of the crop, as others test at 640) are ours.
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k_640.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(
        pretrain_img_size=384,
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth',
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024], num_classes=150),
    auxiliary_head=dict(in_channels=512, num_classes=150),
    test_cfg=dict(mode='slide', crop_size='${crop_size}', stride=(426, 426)),
)
train_dataloader = dict(batch_size=16)
published_miou = 51.6
