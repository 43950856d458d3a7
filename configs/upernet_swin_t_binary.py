# Binary segmentation, Swin-T from ImageNet-1K weights: see the dataset file for folders and mask values. Not a
# published row: batch 8, so half of the recipe's learning rate.
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/binary.py',
    './_base_/schedules/schedule_20k.py',
    './_base_/runtime.py',
]
# Two channels and a softmax rather than one and a threshold: metrics, losses, class weights and ignored pixels are
# those of any other number of classes, and no threshold needs to be found. Dice keeps a small thing from being
# outvoted by the background.
loss_decode = [
    dict(type='CrossEntropyLoss', loss_weight=1.0),
    dict(type='SoftDiceLoss', loss_weight=1.0),
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        ),
    ),
    decode_head=dict(num_classes=2, out_channels=2, loss_decode=loss_decode),
    auxiliary_head=dict(num_classes=2, out_channels=2),
)
optim_wrapper = dict(optimizer=dict(lr=3e-5))
auto_scale_lr = dict(base_batch_size=8)
