"""A predictor of a second's size."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import tiny_checkpoint
from swinseg.predictor import Predictor


@pytest.fixture(scope='session')
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose test pipeline does not resize and whose model slides windows of 64 pixels."""
    root = tmp_path_factory.mktemp('weights')
    cfg = tiny_checkpoint.config(root, mode='slide', crop_size=(64, 64), stride=(48, 40))
    del cfg.test_dataloader.dataset.pipeline[1]
    return tiny_checkpoint.save(root / 'tiny.pth', cfg)


@pytest.fixture(scope='session')
def predictor(tiny_weights: Path) -> Predictor:
    """What the checkpoint predicts on a CPU."""
    return Predictor.from_checkpoint(tiny_weights, device='cpu')
