# A narrow Swin V2 on CamVid (11 classes and void) from random weights, with the budget and the heads of
# upernet_swin_t_camvid.py, to be compared with it. The lines marked (narrow) are to be deleted for SwinV2-T.
_base_ = [
    './_base_/models/upernet_swinv2.py',
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
# The authors' code has no weight decay on these two, either.
optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='auto',
    paramwise_cfg=dict(
        custom_keys={'cpb_mlp': dict(decay_mult=0.0), 'logit_scale': dict(decay_mult=0.0)}
    ),
)
