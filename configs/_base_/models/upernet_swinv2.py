# SwinV2-T + UPerNet with an auxiliary FCN head; the other variants change embed_dims, depths and num_heads.
# num_classes belongs to the dataset: the leaf config sets it in both heads.
_base_ = './upernet_swin.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinV2Backbone',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=8,
        drop_path_rate=0.3,
    ),
)
