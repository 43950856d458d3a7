"""A network so small that a whole suite takes a second or two."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = f"""
_base_ = [
    '{CONFIGS}/_base_/models/upernet_swin.py',
    '{CONFIGS}/_base_/datasets/mini.py',
    '{CONFIGS}/_base_/schedules/schedule_160k.py',
    '{CONFIGS}/_base_/runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(48, 48)),
    backbone=dict(embed_dims=16, depths=[2, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16, num_classes=10),
    auxiliary_head=dict(in_channels=64, channels=16, num_classes=10),
)
"""


@pytest.fixture(scope='session')
def small_config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a config of 0.4 million parameters."""
    path = tmp_path_factory.mktemp('small') / 'small.py'
    path.write_text(SMALL)
    return str(path)
