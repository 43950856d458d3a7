# ConvNeXt-atto of timm on CamVid (11 classes and void) from random weights, with the budget and the heads of
# upernet_swin_t_camvid.py, to be compared with it.
_base_ = [
    './_base_/models/upernet_timm.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/schedule_800.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(model_name='convnext_atto', drop_path_rate=0.0),
    decode_head=dict(in_channels=[40, 80, 160, 320], channels=128, num_classes=11),
    auxiliary_head=dict(in_channels=160, channels=64, num_classes=11),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(type='AutocastOptimWrapper', dtype='auto')
