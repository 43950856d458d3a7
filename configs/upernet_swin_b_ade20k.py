# Swin-B, ImageNet-1K weights, 512 x 512. Published mIoU on ADE20K validation, single scale / multi-scale + flip:
#   48.13 / 49.72  github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation (this recipe)
#   47.99 / 49.57  mmsegmentation's model zoo
_base_ = './upernet_swin_t_ade20k.py'

model = dict(
    backbone=dict(
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window7_224_20220317-e9b98025.pth',
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
published_miou = 48.13
