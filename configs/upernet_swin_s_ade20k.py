# Swin-S, ImageNet-1K weights, 512 x 512. Published mIoU on ADE20K validation, single scale / multi-scale + flip:
#   47.64 / 49.47  github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation (this recipe)
#   47.72 / 49.24  mmsegmentation's model zoo
_base_ = './upernet_swin_t_ade20k.py'

model = dict(
    backbone=dict(
        depths=[2, 2, 18, 2],
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_small_patch4_window7_224_20220317-7ba6d6dd.pth',
        ),
    ),
)
published_miou = 47.64
