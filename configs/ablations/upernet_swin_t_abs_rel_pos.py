# Table 4 of the Swin paper, "abs.+rel. pos.": absolute embedding and relative bias. ADE20K mIoU 44.0.
_base_ = ['../upernet_swin_t_ade20k.py']
model = dict(
    backbone=dict(
        use_abs_pos_embed=True,
        # The public weights have no absolute embedding, which is 1.1% of the parameters.
        init_cfg=dict(minimum=0.98),
    )
)
