# Swin-T, ImageNet-1K weights, 512 x 512. Published mIoU on ADE20K validation, single scale / multi-scale + flip:
#   44.51 / 45.81  github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation (this recipe)
#   44.41 / 45.79  mmsegmentation's model zoo
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        ),
    ),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
# 16 images in one process; on eight, `--cfg-options train_dataloader.batch_size=2`.
train_dataloader = dict(batch_size=16)
published_miou = 44.51
