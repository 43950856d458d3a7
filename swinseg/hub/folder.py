"""Folders of the Hugging Face hub: written from a checkpoint for transformers, and read back.

A folder holds ``config.json`` (the architecture and the classes), ``model.safetensors``,
``preprocessor_config.json`` (size and normalization of images) and the card ``README.md``. The header of
``model.safetensors`` also has what a predictor of this package needs beyond them: the palette and the model, test
pipeline and test-time augmentation of the config. A file that transformers wrote has none of that, and is read
by the rest of the folder.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS
from safetensors.torch import save_file

from swinseg.checkpoints import formats
from swinseg.checkpoints.architecture import describe, infer_architecture
from swinseg.checkpoints.loading import load_weights
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.checkpoints.reading import SUFFIXES, read_checkpoint, state_dict_of
from swinseg.config.loading import load_config
from swinseg.config.pipelines import pipeline_of, test_dataset_of
from swinseg.config.untrusted import prediction_config
from swinseg.errors import CheckpointError, quoted
from swinseg.evaluation.report import Protocol
from swinseg.files import OutputError, make_folder
from swinseg.hub.card import CardContent, Figures, best_figures, model_card, read_figures
from swinseg.hub.image_processor import (
    from_image_processor,
    rgb_preprocessor,
    to_image_processor,
)
from swinseg.hub.upernet import from_upernet_config, to_upernet_config
from swinseg.type_names import type_name

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
_FIRST_LAYER = 'backbone.patch_embed.projection.weight'
_AUXILIARY = 'auxiliary_head.'


@dataclass(frozen=True)
class FolderReceipt:
    """What was written.

    Attributes:
        source: the checkpoint.
        folder: the folder.
        looks_like: the architecture in words.
        classes: number of classes.
        tensors: number of tensors in ``model.safetensors``.
        notes: a sentence for everything that transformers does otherwise, or that is left out.
    """

    source: str
    folder: str
    looks_like: str
    classes: int
    tensors: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Return the receipt as lines to print."""
        lines = [
            self.source,
            f'  {self.looks_like}, {self.classes} classes',
            f'  -> {self.folder}: {", ".join(FILES)}; {self.tensors} tensors',
            *(f'  note: {note}' for note in self.notes),
        ]
        return '\n'.join(lines)


def is_folder_name(output: str | os.PathLike[str]) -> bool:
    """Whether an output is meant as a folder: a file of weights ends in one of the known suffixes."""
    return Path(output).suffix not in SUFFIXES


def write_folder(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | None = None,
    source_format: str = 'auto',
    license: str | None = None,
    evaluation: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> FolderReceipt:
    """Write a checkpoint as a folder that ``UperNetForSemanticSegmentation.from_pretrained`` reads.

    The folder gets its name when all of it is there.

    Args:
        source: path or http(s) address of a checkpoint of a Swin Transformer with UPerNet.
        output: the folder.
        config: config file; needed for weights that hold none. It replaces the one inside the checkpoint.
        source_format: one of ``formats.FORMATS``, or ``'auto'``.
        license: of the weights, as the hub names it (``'apache-2.0'``); None leaves it out of the card.
        evaluation: ``metrics.json`` of ``swinseg test``, or its folder, for the card; None takes the figure of
            the training where the checkpoint was its best.
        overwrite: replace a folder that holds nothing but what is written here.

    Raises:
        CheckpointError: the checkpoint cannot be read or has no config, the model is none that transformers can
            compute, or the evaluation is of another checkpoint.
        ConfigError: the config cannot be read.
        OutputError: the folder cannot be written, or is there already.
    """
    folder = Path(os.path.abspath(output))
    _check_place(folder, overwrite=overwrite)
    checkpoint = read_checkpoint(source)
    name = os.fspath(source)
    given = None if config is None else load_config(Path(config)).to_dict()
    meta = checkpoint_meta(checkpoint)
    whole = given if given is not None else meta['config']
    if whole is None:
        raise CheckpointError(
            f'{name} has no config inside, which says how images are normalized; give the one that it was trained '
            'with by --config'
        )
    owner = f'the config inside {name}' if config is None else os.fspath(config)
    cfg = prediction_config(whole, name=owner).to_dict()
    classes = meta['classes'] or cfg['metainfo']['classes']
    if classes is None:
        raise CheckpointError(
            f'neither {name} nor its config names the classes; give a config whose test_dataloader has a dataset '
            'with classes by --config'
        )
    fields, notes = to_upernet_config(cfg['model'], classes)
    steps = pipeline_of(cfg)
    dataset = test_dataset_of(whole)
    processor, is_blue_first, more = to_image_processor(
        cfg['model'].get('data_preprocessor') or {}, steps, reduce_labels=_reduces_labels(dataset)
    )
    notes += [*more, *_notes_on_windows(cfg['model']), *_notes_on_labels(dataset)]
    figures = _figures(checkpoint, whole, source, evaluation)
    weights = formats.to_mmseg(state_dict_of(checkpoint), source_format)
    model, _ = from_upernet_config(fields, name=owner)
    filled, has_auxiliary = _filled(model, weights, name)
    if fields['use_auxiliary_head'] and not has_auxiliary:
        notes.insert(
            0, 'The auxiliary head, which only training uses, is left out: the checkpoint has none.'
        )
        fields = {k: v for k, v in fields.items() if not k.startswith('auxiliary_')}
        fields['use_auxiliary_head'] = False
    if not fields['use_auxiliary_head']:
        cfg['model'].pop('auxiliary_head', None)
    if is_blue_first:
        filled[_FIRST_LAYER] = filled[_FIRST_LAYER].flip(1)
        cfg['model']['data_preprocessor'] = rgb_preprocessor(cfg['model']['data_preprocessor'])
    palette = meta['palette'] if meta['classes'] is not None else cfg['metainfo']['palette']
    looks_like = describe(infer_architecture(filled))
    known_dataset = _known_dataset(dataset, classes)
    content = CardContent(
        name=folder.name,
        architecture=looks_like,
        classes=classes,
        dataset=known_dataset,
        dataset_name=(known_dataset or '').removesuffix('Dataset') or _folder_name(dataset),
        preprocessing=_preprocessing_text(processor),
        notes=notes,
        figures=figures,
        license=license,
    )
    tensors = formats.from_mmseg(filled, 'huggingface')
    texts = {'classes': json.dumps(list(classes)), 'config': _config_text(cfg)}
    if palette is not None:
        texts['palette'] = json.dumps([list(color) for color in palette])
    with _whole_folder(folder) as partial:
        _write_json(partial / CONFIG, {**fields, 'dtype': 'float32', 'torch_dtype': 'float32'})
        _write_json(partial / PROCESSOR, processor)
        (partial / CARD).write_text(model_card(content), encoding='utf-8')
        separate = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in tensors.items()
        }
        save_file(separate, partial / WEIGHTS, metadata={'format': 'pt', **texts})
    return FolderReceipt(name, str(folder), looks_like, len(classes), len(tensors), tuple(notes))


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
        meta['config'] = _config_text({**_described(folder, model)})
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


def _filled(
    model: Mapping[str, Any], weights: formats.StateDict, name: str
) -> tuple[formats.StateDict, bool]:
    """Return all that a model computes with, filled by ``weights``, and whether they fill the auxiliary head."""
    _check_sizes(model, weights, name)
    with DefaultScope.overwrite_default_scope('mmseg'), warnings.catch_warnings():
        # Advice about losses, which nothing here computes.
        warnings.filterwarnings('ignore', module=r'mmseg\.models\.(losses|builder)')
        built = MODELS.build(model)
    receipt = load_weights(built, weights, strict=True, name=name, logger='silent')
    missing = (*receipt.missing, *receipt.mismatched)
    has_auxiliary = 'auxiliary_head' in model and not any(
        key.startswith(_AUXILIARY) for key in missing
    )
    filled = {
        key: value
        for key, value in built.state_dict().items()
        if has_auxiliary or not key.startswith(_AUXILIARY)
    }
    return filled, has_auxiliary


def _check_sizes(model: Mapping[str, Any], weights: formats.StateDict, name: str) -> None:
    """Make sure that a model is about as large as its weights, before it takes memory."""
    backbone, head = model['backbone'], model['decode_head']
    found = infer_architecture(weights)
    described = {
        'embed_dims': backbone['embed_dims'],
        'depths': tuple(backbone['depths']),
        'num_heads': tuple(backbone['num_heads']),
        'patch_size': backbone['patch_size'],
        'num_classes': head['num_classes'],
    }
    classifier = weights.get('decode_head.conv_seg.weight')
    if classifier is not None and classifier.dim() == 4:
        found['channels'], described['channels'] = classifier.shape[1], head['channels']
    for key, value in described.items():
        if found[key] != value:
            raise CheckpointError(
                f'{name} has {key}={quoted(found[key])} by its weights, but {quoted(value)} by its config; give '
                'the config that it was trained with by --config'
            )


def _config_text(content: Mapping[str, Any]) -> str:
    """Return what a predictor needs of a config as text that ``parse_config_text`` reads."""
    keys = ('model', 'test_pipeline', 'tta_pipeline')
    return ''.join(f'{key} = {content[key]!r}\n' for key in keys if content.get(key) is not None)


def _reduces_labels(dataset: Mapping[str, Any]) -> bool:
    if 'reduce_zero_label' in dataset:
        return bool(dataset['reduce_zero_label'])
    known = DATASETS.module_dict.get(type_name(dataset.get('type', '')))
    argument = (
        None if known is None else inspect.signature(known).parameters.get('reduce_zero_label')
    )
    return argument is not None and argument.default is True


def _notes_on_labels(dataset: Mapping[str, Any]) -> list[str]:
    mapped = [key for key in ('label_map', 'ignore_values') if dataset.get(key)]
    if not mapped:
        return []
    return [
        f'Label files are mapped by {" and ".join(mapped)} of the dataset in training, which the image '
        'processor does not do: map them before it gets them.'
    ]


def _notes_on_windows(model: Mapping[str, Any]) -> list[str]:
    test = model.get('test_cfg') or {}
    if test.get('mode', 'whole') != 'slide':
        return []
    return [
        f'The model was tested by sliding windows of {test.get("crop_size")} at steps of {test.get("stride")}; '
        'transformers computes the whole image at once, so that its scores differ from those of swinseg.'
    ]


def _known_dataset(dataset: Mapping[str, Any], classes: Sequence[str]) -> str | None:
    """Return the type of a dataset whose classes are those of the model, all of them; None for one's own data."""
    kind = type_name(dataset.get('type', ''))
    known = getattr(DATASETS.module_dict.get(kind), 'METAINFO', {}).get('classes')
    return kind if known and tuple(known) == tuple(classes) else None


def _folder_name(dataset: Mapping[str, Any]) -> str | None:
    # The last part alone: where data lie is nobody's business.
    return Path(str(dataset.get('data_root') or '')).name or None


def _preprocessing_text(processor: Mapping[str, Any]) -> str:
    if not processor['do_resize']:
        return 'Images are segmented at their own size.'
    size = processor['size']
    if 'height' in size:
        return f'Images are resized to {size["width"]} x {size["height"]} pixels.'
    return (
        f'Images are resized so that their shorter side has {size["shortest_edge"]} pixels, and the longer one '
        f'{size["longest_edge"]} at most.'
    )


def _figures(
    checkpoint: Mapping[str, Any],
    whole: Mapping[str, Any],
    source: str | os.PathLike[str],
    evaluation: str | os.PathLike[str] | None,
) -> Figures | None:
    """Return the figures for the card: those given, or that of a validation that was done as a test is."""
    if evaluation is not None:
        return read_figures(evaluation, checkpoint=source)
    validated = pipeline_of({'test_dataloader': whole.get('val_dataloader')})
    if not validated or list(validated) != list(pipeline_of(whole)):
        return None
    protocol = str(Protocol.from_config(whole))
    return best_figures(checkpoint.get('message_hub'), checkpoint=source, protocol=protocol)


def _check_place(folder: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise OutputError(f'{folder} is there already and is no folder; name another one')
    present = sorted(entry.name for entry in folder.iterdir())
    if not present:
        return
    foreign = [entry for entry in present if entry not in FILES or (folder / entry).is_dir()]
    if foreign:
        raise OutputError(
            f'{folder} holds other files ({", ".join(foreign[:3])}), which are not replaced; name another folder'
        )
    if not overwrite:
        raise OutputError(
            f'{folder} is there already; name another folder, or replace it with --overwrite'
        )


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder beside ``folder`` that takes its name, and its place, when the block succeeds."""
    make_folder(folder.parent)
    partial = folder.with_name(f'.{folder.name}.{os.getpid()}.partial')
    replaced = folder.with_name(f'.{folder.name}.{os.getpid()}.partial.old')
    try:
        partial.mkdir()
        yield partial
        for entry in partial.iterdir():
            with open(entry, 'rb+') as file:
                os.fsync(file.fileno())
        if folder.exists():
            os.replace(folder, replaced)
        os.replace(partial, folder)
    except OSError as error:
        raise OutputError(f'cannot write {folder}: {error.strerror or error}') from error
    finally:
        if replaced.exists() and not folder.exists():
            os.replace(replaced, folder)
        for leftover in (partial, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
