# Classes that overlap, Swin-T from ImageNet-1K weights: see the dataset file for folders and bit masks. Not a
# published row: batch 8, so half of the recipe's learning rate.
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/multilabel.py',
    './_base_/schedules/schedule_20k.py',
    './_base_/runtime.py',
]
num_classes = 3
# Dice keeps a rare class from being outvoted by the pixels that do not have it; pos_weight of the first loss, a
# number for each class, does it too.
loss_decode = [
    dict(type='SigmoidCrossEntropyLoss', loss_weight=1.0),
    dict(type='SigmoidDiceLoss', loss_weight=1.0),
]
model = dict(
    multi_label=True,
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        ),
    ),
    decode_head=dict(num_classes=num_classes, loss_decode=loss_decode),
    auxiliary_head=dict(
        num_classes=num_classes,
        loss_decode=dict(_delete_=True, type='SigmoidCrossEntropyLoss', loss_weight=0.4),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=3e-5))
auto_scale_lr = dict(base_batch_size=8)
