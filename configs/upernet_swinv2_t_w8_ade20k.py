# SwinV2-T, window 8, ImageNet-1K weights at 256 (81.8% top-1), 512 x 512. No mIoU on ADE20K is published for it,
# nor weights or a config of a segmentor: the 59.9 of Liu et al. 2022 is that of SwinV2-G + UPerNet, which is not
# released. The recipe is that of the first version.
_base_ = [
    './_base_/models/upernet_swinv2.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window8_256.pth',
        ),
    ),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
# The authors' code has no weight decay on these two, either.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'cpb_mlp': dict(decay_mult=0.0), 'logit_scale': dict(decay_mult=0.0)}
    )
)
# 16 images in one process; on eight, `--cfg-options train_dataloader.batch_size=2`.
train_dataloader = dict(batch_size=16)
published_miou = None
