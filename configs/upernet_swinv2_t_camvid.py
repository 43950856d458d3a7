# A narrow Swin V2 on CamVid (11 classes and void) from random weights, with the budget and the heads of
# upernet_swin_t_camvid.py, to be compared with it.
_base_ = './upernet_swin_t_camvid.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinV2Backbone',
        embed_dims=48,
        depths=[2, 2, 4, 2],
        num_heads=[2, 4, 8, 16],
        window_size=8,
        drop_path_rate=0.0,
    ),
)
# The authors' code has no weight decay on these two, either.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'cpb_mlp': dict(decay_mult=0.0), 'logit_scale': dict(decay_mult=0.0)}
    )
)
