"""``python -m swinseg.env``: a short report of versions, devices and adaptations, for bug reports."""

from __future__ import annotations

import os
import platform
import sys

import torch

from swinseg import compat
from swinseg.versions import __version__, installed_versions

PACKAGES = (
    'torch',
    'mmengine',
    'mmcv',
    'mmcv-lite',
    'mmsegmentation',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmsegmentation',
    'opencv-python',
    'opencv-python-headless',
    'numpy',
    'pillow',
    'timm',
    'transformers',
    'torchvision',
    'av',
)


def _processor() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            for line in file:
                if line.startswith('model name'):
                    return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _devices() -> list[str]:
    capability = torch.backends.cpu.get_cpu_capability()
    cpu = f'{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}'
    devices = [f'cpu: {cpu}']
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        devices.append(
            f'cuda:{i}: {properties.name}, {properties.total_memory / 2**30:.1f} GiB, '
            f'CUDA {torch.version.cuda}'
        )
    if torch.backends.mps.is_available():
        devices.append('mps')
    return devices


def report() -> str:
    """Return the report as text, a fact on each line."""
    lines = [
        f'swinseg {__version__}',
        f'python {sys.version.split()[0]} on {platform.platform()}',
    ]
    lines += [f'{name} {version}' for name, version in installed_versions(PACKAGES).items()]
    lines += _devices()
    compiled = 'yes' if compat.has_compiled_ops() else 'no (mmcv-lite; this model calls none)'
    lines.append(f'compiled mmcv ops: {compiled}')
    lines += [f'adaptation: {item.name} ({item.reason})' for item in compat.active()]
    return '\n'.join(lines)


if __name__ == '__main__':
    print(report())
