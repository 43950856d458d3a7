"""The embedded mini set: drawn scenes in ADE20K's folder layout, with its raw label values and colors.

``swinseg prepare mini --out data/mini`` writes it. The same arguments give the same files.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from mmseg.datasets import ADE20KDataset

from swinseg.datasets.mini.canvas import RAW_VALUES
from swinseg.datasets.mini.scenes import draw_scene
from swinseg.files import make_folder, write_bytes, write_text

CLASSES: tuple[str, ...] = tuple(RAW_VALUES)
"""The ten classes, in the order of ADE20K."""

PALETTE: list[list[int]] = [
    list(ADE20KDataset.METAINFO['palette'][value - 1]) for value in RAW_VALUES.values()
]
"""ADE20K's RGB color of each class."""

_MANIFEST = 'mini_set.json'
# Raise it whenever the drawing changes, so that a folder drawn by an older version is drawn anew.
_VERSION = 2
_JPEG_QUALITY = 92
_LONGEST_TO_SHORTEST = 1.3


@dataclass(frozen=True)
class Parameters:
    """What determines the files of a mini set."""

    train: int
    val: int
    size: int
    seed: int
    version: int = _VERSION


def make_dataset(
    root: str | os.PathLike[str],
    *,
    train: int = 400,
    val: int = 80,
    size: int = 192,
    seed: int = 0,
) -> bool:
    """Write the mini set, unless ``root`` has it already, complete and with the same parameters.

    The layout is ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png``; label
    value 0 is unlabeled. Files are written one by one, each complete or not there, and a manifest last.

    Args:
        root: folder; created where it does not exist.
        train: number of training scenes.
        val: number of validation scenes.
        size: the shorter side in pixels; the longer one is up to 1.3 times that.
        seed: another one gives other scenes.

    Returns:
        Whether anything was drawn.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = make_folder(root)
    parameters = Parameters(train=train, val=val, size=size, seed=seed)
    if _is_complete(folder, parameters):
        return False
    (folder / _MANIFEST).unlink(missing_ok=True)
    jobs = [
        (split, index) for split, count in _splits(parameters).items() for index in range(count)
    ]
    for split in _splits(parameters):
        for kind in ('images', 'annotations'):
            stale = make_folder(folder / kind / split).glob(f'{_prefix(split)}*')
            for path in stale:
                path.unlink()
    # Drawing is mostly NumPy and OpenCV, which let go of the interpreter; each scene has its own generator, so
    # the order in which threads take them does not matter.
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda job: _write_scene(folder, parameters, *job), jobs):
            pass
    write_text(folder / _MANIFEST, json.dumps(asdict(parameters), indent=2) + '\n')
    return True


def _splits(parameters: Parameters) -> dict[str, int]:
    return {'training': parameters.train, 'validation': parameters.val}


def _prefix(split: str) -> str:
    return 'mini_train_' if split == 'training' else 'mini_val_'


def _paths(folder: Path, split: str, index: int) -> tuple[Path, Path]:
    name = f'{_prefix(split)}{index + 1:05d}'
    return folder / 'images' / split / f'{name}.jpg', folder / 'annotations' / split / f'{name}.png'


def _is_complete(folder: Path, parameters: Parameters) -> bool:
    try:
        written = json.loads((folder / _MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return written == asdict(parameters) and all(
        path.is_file()
        for split, count in _splits(parameters).items()
        for index in range(count)
        for path in _paths(folder, split, index)
    )


def _write_scene(folder: Path, parameters: Parameters, split: str, index: int) -> None:
    rng = np.random.default_rng([parameters.seed, list(_splits(parameters)).index(split), index])
    sides = [parameters.size, round(parameters.size * rng.uniform(1.0, _LONGEST_TO_SHORTEST))]
    height, width = sides if rng.random() < 0.8 else sides[::-1]
    image, label = draw_scene(rng, height=height, width=width)
    image_path, label_path = _paths(folder, split, index)
    _, jpeg = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    _, png = cv2.imencode('.png', label)
    write_bytes(image_path, jpeg.tobytes())
    write_bytes(label_path, png.tobytes())
