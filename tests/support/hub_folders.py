"""A small checkpoint of swinseg with everything that a folder for transformers keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from support import tiny_checkpoint

AUXILIARY = dict(
    type='FCNHead', in_channels=64, in_index=2, channels=12, num_convs=1, concat_input=False,
    num_classes=len(tiny_checkpoint.CLASSES), norm_cfg=dict(type='BN'), align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.3),
)  # fmt: skip


def config(
    root: Path,
    *,
    resize: Sequence[Mapping[str, Any]] = (),
    model: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    auxiliary: Mapping[str, Any] | None = AUXILIARY,
) -> Config:
    """Return the config of ``tiny_checkpoint``, with an auxiliary head and another test pipeline.

    Args:
        root: of the data, which need not be there.
        resize: the steps between loading and packing.
        model: what to merge into ``model``.
        dataset: what to merge into the test dataset.
        auxiliary: head; None without.
    """
    cfg = tiny_checkpoint.config(root)
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImage'), *resize, dict(type='LoadLabel'), dict(type='PackSegInputs'),
    ]  # fmt: skip
    cfg.test_dataloader.dataset.update(dataset or {})
    if auxiliary is not None:
        cfg.model.auxiliary_head = dict(auxiliary)
    cfg.merge_from_dict({'model': dict(model or {})})
    return cfg


def save(path: Path, cfg: Config, **more: Any) -> Path:
    """Save the config's model with random weights; ``more`` is put beside ``meta`` and ``state_dict``."""
    tiny_checkpoint.save(path, cfg)
    if more:
        content = torch.load(path, weights_only=True)
        torch.save({**content, **more}, path)
    return path


def rewrite_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Change the config inside a checkpoint, by dotted keys, and leave its weights as they are."""
    content = torch.load(path, weights_only=True)
    cfg = Config.fromstring(content['meta']['cfg'], '.py')
    cfg.merge_from_dict(dict(changes))
    content['meta']['cfg'] = cfg.pretty_text
    torch.save(content, path)
