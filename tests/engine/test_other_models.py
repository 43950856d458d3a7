"""A model of other parts than ours, from its training to its use."""

from __future__ import annotations

import numpy as np
from PIL import Image

from swinseg import Predictor
from swinseg.engine import evaluate, load_config, train

# K-Net, whose head has no loss and no threshold of its own, over the backbone of SegFormer.
OTHER_PARTS = """
kernel_generate_head = dict(
    type='UPerNetHead', in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3], channels=16, num_classes=10,
    norm_cfg=dict(type='BN'), align_corners=False,
)
kernel_update_head = dict(
    type='KernelUpdateHead', num_classes=10, num_ffn_fcs=2, num_heads=2, num_mask_fcs=1, in_channels=16,
    feedforward_channels=16, out_channels=16, with_ffn=True,
    feat_transform_cfg=dict(conv_cfg=dict(type='Conv2d'), act_cfg=None),
    kernel_updator_cfg=dict(
        type='KernelUpdator', in_channels=16, feat_channels=16, out_channels=16,
        act_cfg=dict(type='ReLU'), norm_cfg=dict(type='LN'),
    ),
)
model = dict(
    backbone=dict(
        _delete_=True, type='MixVisionTransformer', embed_dims=16, num_layers=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8], patch_sizes=[7, 3, 3, 3], sr_ratios=[8, 4, 2, 1], out_indices=(0, 1, 2, 3),
    ),
    decode_head=dict(
        _delete_=True, type='IterativeDecodeHead', num_stages=1,
        kernel_generate_head=kernel_generate_head, kernel_update_head=[kernel_update_head],
    ),
)
"""


def test_other_model__trains_resumes_is_tested_and_segments(
    write_tiny_config, tmp_path, tiny_dataset
):
    config = write_tiny_config(extra=OTHER_PARTS)
    work_dir = tmp_path / 'work'
    train(load_config(config, {'train_cfg.max_iters': 2}), work_dir=work_dir, seed=0)
    result = train(load_config(config), work_dir=work_dir, resume=True)
    assert result.iterations == 4
    cfg = load_config(config)
    cfg.test_evaluator.output_dir = str(tmp_path / 'labels')
    metrics = evaluate(cfg, result.last, work_dir=tmp_path / 'test')
    assert 0 <= metrics['mIoU'] <= 100
    # The config inside the file names known parts only.
    predictor = Predictor.from_checkpoint(result.last, device='cpu')
    for image in sorted((tiny_dataset / 'images' / 'validation').iterdir()):
        tested = np.array(Image.open(tmp_path / 'labels' / f'{image.stem}.png'))
        # In the files 0 is unlabeled.
        assert np.array_equal(predictor(image).labels, tested - 1)
