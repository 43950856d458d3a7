"""Environment of a benchmark: versions, processor, threads and date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import swinseg
from swinseg import env
from swinseg.versions import __version__, installed_versions

ROOT = Path(swinseg.__file__).parents[1]
"""What swinseg is imported from: a clone, with ``benchmarks/``, or the folder of installed packages."""

_PACKAGES = (
    'torch',
    'mmsegmentation',
    'mmcv-lite',
    'numpy',
    'opencv-python',
    'onnx',
    'onnxruntime',
    'openvino',
    'transformers',
)


def describe(device: str) -> dict[str, Any]:
    """Return what a reader needs to judge the times measured now on ``device``; plain values for JSON."""
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d'),
        'swinseg': __version__,
        'revision': _revision(),
        'python': platform.python_version(),
        'packages': installed_versions(_PACKAGES),
        'processor': _line_of_report('cpu: '),
        'gpu': _line_of_report(f'cuda:{torch.device(device).index or 0}: ')
        if device.startswith('cuda')
        else None,
        'threads': torch.get_num_threads(),
        'OMP_WAIT_POLICY': os.environ.get('OMP_WAIT_POLICY'),
        'GOMP_SPINCOUNT': os.environ.get('GOMP_SPINCOUNT'),
    }


def _line_of_report(label: str) -> str | None:
    lines = (line for line in env.report().splitlines() if line.startswith(label))
    return next((line.removeprefix(label) for line in lines), None)


def _revision() -> str | None:
    """The commit of the clone, marked where files differ from it; None outside of a clone."""
    if not (
        ROOT / '.git'
    ).exists():  # packages may be installed somewhere in a clone of something else
        return None
    try:
        done = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=10', '--exclude=*'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
