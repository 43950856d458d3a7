"""A tiny training on drawn scenes as a program of its own, which may kill itself within a second one.

``python -m swinseg.benchmark.killable_training DATA_ROOT WORK_DIR [--kill-in OTHER_WORK_DIR]``
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from swinseg.config.shipped import shipped_folder
from swinseg.engine import load_config, train

STEPS, SAVED, KILLED = 8, 4, 6
"""Steps in all, the step at which a checkpoint is written, and that after which the process is killed."""

# Windows has only the ends that TerminateProcess makes, with the signal's number as the exit code.
_KILL = getattr(signal, 'SIGKILL', signal.SIGTERM)
EXIT_CODE_OF_KILLED = int(_KILL) if sys.platform == 'win32' else -int(_KILL)

_OPTIONS: dict[str, Any] = {
    'crop_size': (64, 64),
    'image_scale': (384, 96),
    'model.backbone.embed_dims': 16,
    'model.backbone.depths': [1, 1, 2, 1],
    'model.backbone.num_heads': [1, 2, 4, 8],
    'model.backbone.window_size': 4,
    'model.decode_head.in_channels': [16, 32, 64, 128],
    'model.decode_head.channels': 16,
    'model.auxiliary_head.in_channels': 64,
    'model.auxiliary_head.channels': 16,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.max_iters': STEPS,
    'train_cfg.val_interval': STEPS,
    'default_hooks.checkpoint.interval': SAVED,
    'training_hooks.curves': None,
    'training_hooks.sample_predictions': None,
    'training_hooks.expected_curve': None,
}


class _KillHook(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """End the process as a power failure would."""
        if runner.iter + 1 == KILLED:
            os.kill(os.getpid(), _KILL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on where an earlier process has left a checkpoint; then train anew up to the kill, if asked to.

    Args:
        arguments: None takes those of the process.
    """
    parser = argparse.ArgumentParser(prog='swinseg.benchmark.killable_training')
    parser.add_argument('data_root', type=Path)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--kill-in', type=Path, metavar='OTHER_WORK_DIR')
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cfg = load_config(
        shipped_folder() / 'upernet_swin_t_mini.py', {**_OPTIONS, 'data_root': str(args.data_root)}
    )
    train(cfg, work_dir=args.work_dir, resume='auto', seed=0, check=False)
    if args.kill_in is not None:
        cfg.custom_hooks = [*cfg.get('custom_hooks', ()), dict(type=_KillHook)]
        train(cfg, work_dir=args.kill_in, seed=0, check=False)


if __name__ == '__main__':
    main()
