"""Settings of mmseg's heads that take more than one line, on maps of the widths of ``mmseg_pairs.TINY``."""

from __future__ import annotations

CLASSES = 7
BN = dict(type='BN')


def upernet(kind: str = 'UPerNetHead') -> dict:
    """Return a UPerNet head, ours or of another type."""
    return dict(
        type=kind, in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3], channels=16, num_classes=CLASSES,
        norm_cfg=BN, dropout_ratio=0.0, align_corners=False,
    )  # fmt: skip


def k_net(kernels: dict | None = None) -> dict:
    """Return K-Net over a head that makes its first kernels, our UPerNet unless another is given."""
    update = dict(
        type='KernelUpdateHead', num_classes=CLASSES, num_ffn_fcs=2, num_heads=2, num_mask_fcs=1,
        feedforward_channels=16, in_channels=16, out_channels=16, dropout=0.0, with_ffn=True,
        feat_transform_cfg=dict(conv_cfg=dict(type='Conv2d'), act_cfg=None),
        kernel_updator_cfg=dict(
            type='KernelUpdator', in_channels=16, feat_channels=16, out_channels=16,
            act_cfg=dict(type='ReLU', inplace=True), norm_cfg=dict(type='LN'),
        ),
    )  # fmt: skip
    return dict(
        type='IterativeDecodeHead',
        num_stages=1,
        kernel_update_head=[update],
        kernel_generate_head=kernels or upernet(),
    )


def top(kind: str, **options: object) -> dict:
    """Return a head of the coarsest map."""
    return {
        **dict(
            type=kind, in_channels=128, in_index=3, channels=16, num_classes=CLASSES, norm_cfg=BN
        ),
        **options,
    }


CASCADE = [top('FCNHead', num_convs=1, concat_input=False), top('OCRHead', ocr_channels=8)]
POINTS = [
    CASCADE[0],
    dict(
        type='PointHead', in_channels=[128], in_index=[3], channels=16, num_fcs=1,
        coarse_pred_each_layer=True, num_classes=CLASSES,
    ),
]  # fmt: skip
POINT_CFG = dict(mode='whole', subdivision_steps=2, subdivision_num_points=16, scale_factor=2)
SEGMENTER = dict(
    type='SegmenterMaskTransformerHead', in_channels=128, in_index=3, channels=32, embed_dims=32,
    num_classes=CLASSES, num_layers=1, num_heads=2,
)  # fmt: skip
