"""Folders of the Hugging Face hub, and reading them; :mod:`swinseg.hub.folder_writing` writes them.

A folder holds ``config.json`` (the architecture and the classes), ``model.safetensors``,
``preprocessor_config.json`` (size and normalization of images) and the card ``README.md``. The header of
``model.safetensors`` also has what a predictor of this package needs beyond them: the palette and the model, test
pipeline and test-time augmentation of the config. A file that transformers wrote has none of that, and is read
by the rest of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swinseg.checkpoints import formats
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.checkpoints.reading import read_checkpoint, state_dict_of
from swinseg.errors import CheckpointError, quoted
from swinseg.hub.image_processor import from_image_processor
from swinseg.hub.upernet import from_upernet_config

CONFIG, WEIGHTS, PROCESSOR, CARD = (
    'config.json', 'model.safetensors', 'preprocessor_config.json', 'README.md',
)  # fmt: skip
FILES = (CARD, CONFIG, WEIGHTS, PROCESSOR)
"""What a folder that is written here holds."""
INDEX = 'model.safetensors.index.json'
"""Names the files of weights that are kept in several."""
OLD_WEIGHTS = 'pytorch_model.bin'
"""What older folders hold in the place of ``WEIGHTS``."""

_MOST_BYTES_OF_JSON = 10_000_000


def read_folder(path: str | os.PathLike[str], *, with_config: bool = True) -> dict[str, Any]:
    """Read a folder that was written here, or by transformers.

    Args:
        path: a folder with the files of a ``UperNetForSemanticSegmentation`` with a Swin Transformer.
        with_config: whether to say how images are prepared; False where a config of the caller's own does.

    Returns:
        What ``read_checkpoint`` gives of a file: ``state_dict`` in mmseg's names, and ``meta`` with ``classes``,
        ``palette`` (or None) and ``config``, the text of a config with ``model`` and ``test_pipeline``. It is to
        be trusted as little as that of any checkpoint.

    Raises:
        CheckpointError: no such folder, a file is missing or damaged, or it is of another architecture.
    """
    folder = Path(path)
    model, classes = read_architecture(folder)
    weights, header = _read_weights(folder)
    kept = checkpoint_meta({'meta': header})
    meta: dict[str, Any] = {'classes': classes}
    if kept['palette'] is not None and len(kept['palette']) == len(classes):
        meta['palette'] = kept['palette']
    if kept['config'] is not None:
        meta['config'] = header['config']
    elif with_config:
        meta['config'] = config_text(_described(folder, model))
    return {'state_dict': weights, 'meta': meta}


def read_architecture(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the model, without ``data_preprocessor``, and the class names that ``config.json`` describes.

    Raises:
        CheckpointError: no such folder or file, or it is of another architecture.
    """
    file = folder / CONFIG
    if not file.is_file():
        problem = 'has no config.json' if folder.is_dir() else 'is no folder'
        raise CheckpointError(
            f'{folder} {problem}; expected one with config.json, model.safetensors and '
            'preprocessor_config.json, as swinseg convert --to huggingface writes it, and '
            "transformers' save_pretrained"
        )
    return from_upernet_config(_read_json(file), name=str(file))


def _described(folder: Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a folder that transformers wrote."""
    file = folder / PROCESSOR
    if not file.is_file():
        raise CheckpointError(
            f'{folder} has no {PROCESSOR}, so nothing says how images are resized and normalized; save it there '
            'with the save_pretrained of the image processor, or give a config with --config'
        )
    preprocessor, steps = from_image_processor(_read_json(file), name=str(file))
    return {'model': {**model, 'data_preprocessor': preprocessor}, 'test_pipeline': steps}


def _read_weights(folder: Path) -> tuple[formats.StateDict, Mapping[str, Any]]:
    """Return the weights in mmseg's names, and what the header of their file says."""
    weights: formats.StateDict = {}
    header: Mapping[str, Any] = {}
    for file in weight_files(folder):
        checkpoint = read_checkpoint(file)
        weights |= state_dict_of(checkpoint)
        header = checkpoint.get('meta') or {}
    try:
        return formats.to_mmseg(weights), header if isinstance(header, Mapping) else {}
    except CheckpointError as error:
        raise CheckpointError(f'{folder}: {error}') from error


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold weights: one, or several that an index names.

    Raises:
        CheckpointError: there are none.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if index.is_file():
        names = _read_json(index).get('weight_map')
        parts = sorted(set(names.values())) if isinstance(names, dict) else []
        # A name that leads elsewhere is none of this folder.
        if parts and all(isinstance(part, str) and Path(part).name == part for part in parts):
            return [folder / part for part in parts]
        raise CheckpointError(
            f'{index} does not name the files of the weights (weight_map); fetch the folder again'
        )
    if (folder / OLD_WEIGHTS).is_file():
        return [folder / OLD_WEIGHTS]
    raise CheckpointError(
        f'{folder} has no {WEIGHTS}, {INDEX} or {OLD_WEIGHTS}; fetch the folder again, with its large files'
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES_OF_JSON:
            raise CheckpointError(
                f'{path} has {path.stat().st_size:,} bytes, more than any; fetch the folder again'
            )
        content = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror or error}') from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path} is not JSON; fetch or write the folder again') from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path} holds {quoted(content)}, where an object is expected; fetch or write the folder again'
        )
    return content


def config_text(content: Mapping[str, Any]) -> str:
    """Return what a predictor needs of a config as text that ``parse_config_text`` reads."""
    keys = ('model', 'test_pipeline', 'tta_pipeline')
    return ''.join(f'{key} = {content[key]!r}\n' for key in keys if content.get(key) is not None)
