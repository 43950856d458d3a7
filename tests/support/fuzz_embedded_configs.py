"""Load checkpoints whose configs were changed at random, and say what that started.

An audit hook sees all that the process does through Python: imports, commands, files that are opened for writing,
sockets. It stays in a process for good, so it is for one of its own.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from pathlib import Path

import torch

from support import tiny_checkpoint, untrusted
from swinseg.errors import UserError
from swinseg.predictor import Predictor

_PATHS = (
    'subprocess.getoutput', 'subprocess.check_output', 'os.system', 'os.mkdir', 'builtins.exec', 'builtins.open',
    'runpy.run_path', 'socket.create_connection', 'urllib.request.urlopen', 'antigravity', 'this', 'turtle.Turtle',
    'mmdet.models.RTMDet', 'evil.Evil', 'mmseg.os.system', 'mmseg.models.builder.warnings.warn', 'torch.load',
    'mmengine.fileio.load', 'numpy.load', 'idlelib.idle.main', 'http.server.test',
)  # fmt: skip
# What loading a model may import late: parts of packages that are there in any case.
_MODULES = ('torch', 'swinseg', 'mmseg', 'mmengine', 'mmcv', 'numpy', 'cv2', 'sympy', 'unittest')
_STARTS = ('subprocess.', 'os.', 'socket.', 'pty.', 'shutil.', 'ctypes.dlopen', 'urllib.')
_HARMLESS = ('os.listdir', 'os.scandir')


class _Audit:
    """Counts what is done while it is on."""

    def __init__(self) -> None:
        self.is_on = False
        self.seen: Counter[str] = Counter()
        self._known = set(sys.modules)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event == 'import':
            name = str(arguments[0])
            if name not in self._known and name.split('.')[0] not in _MODULES:
                self.seen[f'import {name}'] += 1
        elif event == 'open':
            path, mode, flags = arguments
            writes = (
                flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                if mode is None
                else set(mode) & set('wax+')
            )
            if writes:
                self.seen[f'open {path} {mode}'] += 1
        elif event.startswith(_STARTS) and event not in _HARMLESS:
            self.seen[event] += 1


def _changed(rng: random.Random, good: dict, trace: Path) -> dict:
    """Return a config in which up to three places were given something that runs, reads or asks."""
    cfg = good
    for _ in range(rng.randint(1, 3)):
        places = list(untrusted.places(cfg))
        place = rng.choice(places)
        path = rng.choice(_PATHS)
        evil = rng.choice(
            [
                path,
                {'type': path},
                {'type': path, 'cmd': f'touch {trace}'},
                {'type': path, 'args': ['touch', str(trace)]},
                {'type': path, 'name': str(trace)},
                {'type': 'RandomResize', 'resize_type': path, 'scale': (8, 8)},
                {'type': 'LoadImage', 'backend_args': {'backend': path}},
                {'type': 'Pretrained', 'checkpoint': f'http://127.0.0.1:9/{path}'},
                {'type': 'MultiImageMixDataset', 'dataset': {'type': path}, 'pipeline': []},
                {'_scope_': path.split('.')[0], 'type': 'SwinBackbone'},
                [{'type': path}],
                f'file://{trace}',
            ]
        )
        if rng.random() < 0.5:
            types = [found for found in places if found[-1] == 'type']
            place, evil = rng.choice(types), path
        cfg = untrusted.put(cfg, place, evil)
    if rng.random() < 0.1:
        cfg = {**cfg, 'custom_imports': {'imports': [rng.choice(_PATHS)]}}
    return cfg


def try_changes(trials: int, folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Read so many changed configs, and return how often each end came, and what was started how often."""
    trace, path = folder / 'trace', folder / 'x.pth'
    rng = random.Random(0)
    good = untrusted.content(folder)
    weights = {'backbone.patch_embed.projection.weight': torch.ones(1)}
    audit = _Audit()
    ends: Counter[str] = Counter()
    for trial in range(trials + 1):
        cfg = _changed(rng, good, trace) if trial else good
        meta = {'dataset_meta': {'classes': tiny_checkpoint.CLASSES} if rng.random() < 0.5 else {}}
        torch.save({'state_dict': weights, 'meta': {**meta, 'cfg': untrusted.text(cfg)}}, path)
        audit.is_on = trial > 0  # the first, a good one, imports what is imported late
        try:
            Predictor.from_checkpoint(path, device='cpu')
            ends['built'] += 1
        except UserError as error:
            ends[type(error).__name__] += 1
        finally:
            audit.is_on = False
    return dict(ends), dict(audit.seen)
