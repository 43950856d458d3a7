# FolderDataset's worked example: CamVid (11 classes and void) with a narrow Swin from random weights, in about
# ten minutes on two CPU cores.
#
# The full Swin-T instead, with a GPU: delete the lines marked (narrow), and start the backbone from ImageNet with
#     backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='https://github.com/SwinTransformer/storage/'
#                   'releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth'))
# and `optim_wrapper = dict(optimizer=dict(lr=6e-5))`.
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/schedule_800.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(
        embed_dims=48,  # (narrow)
        depths=[2, 2, 4, 2],  # (narrow)
        num_heads=[2, 4, 8, 16],  # (narrow)
        drop_path_rate=0.0,  # (narrow)
    ),
    decode_head=dict(
        in_channels=[48, 96, 192, 384],  # (narrow)
        channels=128,  # (narrow)
        num_classes=11,
    ),
    auxiliary_head=dict(
        in_channels=192,  # (narrow)
        channels=64,  # (narrow)
        num_classes=11,
    ),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(type='AutocastOptimWrapper', dtype='auto')
# A run with seed 0; of the validation in its middle no figure was kept.
training_hooks = dict(expected_curve=dict(type='ExpectedCurveHook', points=[(800, 36.9)]))
