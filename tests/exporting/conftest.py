"""Small models of which every part shows in the output."""

from __future__ import annotations

import pytest
from mmengine.registry import DefaultScope

from support.mmseg_pairs import build_segmentor, randomize

SMALL = dict(embed_dims=16, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8))
CLASSES = ('sky', 'tall tree', 'road', 'car', 'water')


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='session')
def make_model():
    """Build a segmentor of five classes; arguments change its backbone, head and segmentor."""

    def make(*, stock=False, backbone=None, head=None, **segmentor):
        preprocessor = dict(
            type='SegDataPreProcessor', mean=[120.0, 110, 100], std=[60.0, 55, 50], bgr_to_rgb=True
        )
        settings = {'data_preprocessor': preprocessor, **segmentor}
        if head is not None:
            widths = [16, 32, 64, 128]
            settings['decode_head'] = dict(
                dict(
                    type='UPerHead' if stock else 'UPerNetHead', in_channels=widths,
                    in_index=[0, 1, 2, 3], channels=16, num_classes=len(CLASSES),
                    norm_cfg=dict(type='BN'), align_corners=False,
                ),
                **head,
            )  # fmt: skip
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = build_segmentor(
                stock=stock,
                backbone={**SMALL, 'window_size': 7, **(backbone or {})},
                channels=16,
                num_classes=len(CLASSES),
                **settings,
            )
        return randomize(model).eval()

    return make
