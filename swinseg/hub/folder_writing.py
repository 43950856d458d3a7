"""Writing of Hugging Face folders: a checkpoint as transformers reads it, with a card."""

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
from swinseg.hub.folder import CARD, CONFIG, FILES, PROCESSOR, WEIGHTS, config_text
from swinseg.hub.image_processor import rgb_preprocessor, to_image_processor
from swinseg.hub.upernet import from_upernet_config, to_upernet_config
from swinseg.type_names import type_name

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
    meta = checkpoint_meta(checkpoint)
    whole, owner = _config_of(meta, config, name)
    cfg = prediction_config(whole, name=owner).to_dict()
    classes, palette = _legend_of(meta, cfg, name)
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
    texts = {'classes': classes, 'palette': palette}
    header = {key: json.dumps(value) for key, value in texts.items() if value is not None}
    with _whole_folder(folder) as partial:
        _write_json(partial / CONFIG, {**fields, 'dtype': 'float32', 'torch_dtype': 'float32'})
        _write_json(partial / PROCESSOR, processor)
        (partial / CARD).write_text(model_card(content), encoding='utf-8')
        # safetensors refuses tensors that share memory, or are not contiguous.
        separate = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in tensors.items()
        }
        header |= {'format': 'pt', 'config': config_text(cfg)}
        save_file(separate, partial / WEIGHTS, metadata=header)
    return FolderReceipt(name, str(folder), looks_like, len(classes), len(tensors), tuple(notes))


def _config_of(
    meta: Mapping[str, Any], config: str | os.PathLike[str] | None, name: str
) -> tuple[Mapping[str, Any], str]:
    """Return the config that was given, or that of the checkpoint, and what messages call it."""
    if config is not None:
        return load_config(Path(config)).to_dict(), os.fspath(config)
    if meta['config'] is None:
        raise CheckpointError(
            f'{name} has no config inside, which says how images are normalized; give the one that it was trained '
            'with by --config'
        )
    return meta['config'], f'the config inside {name}'


def _legend_of(
    meta: Mapping[str, Any], cfg: Mapping[str, Any], name: str
) -> tuple[Sequence[str], Sequence[Sequence[int]] | None]:
    """Return class names and palette, both of the checkpoint or both of the config."""
    owner = meta if meta['classes'] else cfg['metainfo']
    if owner['classes'] is None:
        raise CheckpointError(
            f'neither {name} nor its config names the classes; give a config whose test_dataloader has a dataset '
            'with classes by --config'
        )
    return owner['classes'], owner['palette']


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
