# A narrow Swin on the embedded mini set (swinseg prepare mini --out data/mini), from random
# weights, in a few minutes on two CPU cores.
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/mini.py',
    './_base_/schedules/schedule_600.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(embed_dims=48, depths=[2, 2, 4, 2], num_heads=[2, 4, 8, 16], drop_path_rate=0.1),
    decode_head=dict(in_channels=[48, 96, 192, 384], channels=128, num_classes=10),
    auxiliary_head=dict(in_channels=192, channels=64, num_classes=10),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(type='AutocastOptimWrapper', dtype='auto')
# A run with seed 0.
training_hooks = dict(
    expected_curve=dict(type='ExpectedCurveHook', points=[(200, 43.0), (400, 64.0), (600, 69.0)]),
)
