# ConvNeXt-T of timm, ImageNet-1K weights, 512 x 512. Published mIoU on ADE20K validation, single scale /
# multi-scale + flip:
#   46.11 / 46.62  mmsegmentation's model zoo, with mmpretrain's ConvNeXt and in half precision
# No run of ours. There the layers' rates fall by 0.9 for each of seven groups of blocks; here by 0.96 for each
# block, which comes to the same at the stem.
_base_ = [
    './_base_/models/upernet_timm.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    # True fetches the weights from the Hugging Face hub; the path of a file of them does as well.
    backbone=dict(model_name='convnext_tiny.fb_in1k', pretrained=True),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size='${crop_size}', stride=(341, 341)),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(
    constructor='LayerDecayConstructor',
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.96),
)
