# DINOv2 ViT-S/14 of timm (Oquab et al. 2024) with the simple feature pyramid, fine-tuned at 512 x 512. Each patch
# of 14 pixels covers 16 of the image, so that the pyramid has the strides 4, 8, 16 and 32.
# A recipe of ours, and no published row: no run of it on ADE20K was made.
_base_ = [
    './_base_/models/upernet_timm_vit.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    # Whole images are padded to what the coarsest level divides, and the padding is cut off the logits.
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    # True fetches the weights from the Hugging Face hub; the path of a file of them does as well.
    backbone=dict(model_name='vit_small_patch14_dinov2.lvd142m', pretrained=True, patch_stride=16),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(
    constructor='LayerDecayConstructor',
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(
        decay_rate=0.75,
        custom_keys={token: dict(decay_mult=0.0) for token in ('pos_embed', 'cls_token', '.gamma')},
    ),
)
