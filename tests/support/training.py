"""Doing something in the middle of a real training, and comparing what two trainings have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from support.tiny_config import tiny_config
from swinseg.checkpoints import read_checkpoint
from swinseg.engine import load_config, train
from swinseg.models import SwinSegmentor

NO_VALIDATION = """
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
"""


def train_whole(folder: Path, dataset: Path, extra: str) -> Path:
    """Train the tiny config with ``extra`` in a new folder, without workers, and return the work directory.

    The config stays there as ``exact.py``.
    """
    (folder / 'base.py').write_text(tiny_config(dataset))
    (folder / 'exact.py').write_text(f"_base_ = './base.py'\n{extra}")
    train(load_config(folder / 'exact.py'), work_dir=folder / 'work', seed=0, check=False)
    return folder / 'work'


def in_iteration(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], Any]) -> None:
    """Call ``action`` in the forward pass of the ``number``-th iteration from now."""
    forward, calls = SwinSegmentor.loss, []

    def loss(self, inputs, data_samples):
        calls.append(None)
        if len(calls) == number:
            action()
        return forward(self, inputs, data_samples)

    monkeypatch.setattr(SwinSegmentor, 'loss', loss)


def assert_same_state(one: Path, other: Path) -> None:
    """Compare weights, averaged weights, optimizer, schedule and generators of two checkpoints bit by bit."""
    first, second = read_checkpoint(one), read_checkpoint(other)
    for part in (
        'state_dict',
        'ema_state_dict',
        'optimizer',
        'param_schedulers',
        'generators',
        'sampler',
    ):
        assert (part in first) == (part in second), part
        _assert_same(first.get(part), second.get(part), part)


def _assert_same(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys(), where
        for key in one:
            _assert_same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            _assert_same(*pair, f'{where}.{index}')
    else:
        assert one == other, where
