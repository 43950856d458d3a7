# Equation (1) of the Swin paper in place of equation (2): every token attends to every other. Its cost is
# quadratic in the number of patches: 16,384 x 16,384 scores per head in the first stage at 512 x 512.
_base_ = ['../upernet_swin_t_ade20k.py']
model = dict(
    backbone=dict(
        attention='global',
        use_rel_pos_bias=False,
        use_abs_pos_embed=True,
        with_cp=True,
        init_cfg=dict(minimum=0.98),
    )
)
