"""Model card of a folder: ``README.md`` with the metadata block that the Hugging Face hub reads.

A card says what is known and leaves out what is not: no license where none was given, no figure without the
protocol by which it was measured.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from swinseg.errors import CheckpointError, quoted
from swinseg.evaluation.report import METRICS_MARK

LIBRARY, TASK = 'transformers', 'image-segmentation'
REQUIRED_FIELDS = ('library_name', 'pipeline_tag', 'tags')
"""Fields of the metadata block without which the hub does not find or load a model."""

_BLOCK = re.compile(r'\A---\r?\n(.*?)\r?\n---\s*?(\r?\n|\Z)', re.S)
# The hub's names of datasets that this package has by name.
_HUB_DATASETS = {'ADE20K': 'scene_parse_150', 'ADE20KDataset': 'scene_parse_150'}
_METRICS = {
    'mIoU': ('mean_iou', 'Mean IoU'),
    'aAcc': ('accuracy', 'Pixel accuracy'),
    'mAcc': ('mean_accuracy', 'Mean accuracy'),
}
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Figures:
    """Figures of an evaluation.

    Attributes:
        values: by metric, mIoU, aAcc, mAcc, in percent.
        protocol: scales, flips, window and stride of the predictions, in words.
    """

    values: Mapping[str, float]
    protocol: str


@dataclass(frozen=True)
class CardContent:
    """What a card says.

    Attributes:
        name: of the model.
        architecture: in words, such as ``Swin-T: embed_dims 96, ...``.
        classes: K names.
        dataset: type of the dataset, such as ``ADE20K``, where the classes are all that it has; None for others.
        dataset_name: its name for a reader.
        preprocessing: what the image processor does, in words.
        notes: sentences about what transformers does otherwise than this package, or leaves out.
        figures: of an evaluation, or None.
        license: identifier of the hub, such as ``apache-2.0``; None where it is not known.
    """

    name: str
    architecture: str
    classes: Sequence[str]
    dataset: str | None
    dataset_name: str | None
    preprocessing: str
    notes: Sequence[str]
    figures: Figures | None = None
    license: str | None = None


def model_card(content: CardContent) -> str:
    """Return the text of ``README.md``."""
    metadata = yaml.safe_dump(_metadata(content), sort_keys=False, allow_unicode=True, width=10_000)
    return f'---\n{metadata}---\n\n{_text(content)}'


def card_metadata(text: str, *, name: str) -> dict[str, Any]:
    """Return the metadata block of a card.

    Raises:
        CheckpointError: it has none, or lacks one of :data:`REQUIRED_FIELDS`.
    """
    match = _BLOCK.match(text)
    try:
        block = None if match is None else yaml.safe_load(match[1])
    except (yaml.YAMLError, RecursionError) as error:
        raise CheckpointError(
            f'the metadata block of {name} is not YAML ({str(error).splitlines()[0]}); mend it, or write the '
            'folder anew'
        ) from error
    if not isinstance(block, dict):
        raise CheckpointError(
            f'{name} does not begin with a metadata block (--- and lines such as "pipeline_tag: {TASK}" and ---), '
            'by which the hub finds a model; write the folder anew, or add one'
        )
    missing = [field for field in REQUIRED_FIELDS if not block.get(field)]
    if missing:
        examples = {
            'library_name': LIBRARY,
            'pipeline_tag': TASK,
            'tags': '[semantic-segmentation]',
        }
        raise CheckpointError(
            f'the metadata block of {name} lacks {" and ".join(missing)}; add "{missing[0]}: '
            f'{examples[missing[0]]}", or write the folder anew'
        )
    return block


def read_figures(path: str | os.PathLike[str], *, checkpoint: str | os.PathLike[str]) -> Figures:
    """Read the figures of an evaluation of a checkpoint.

    Args:
        path: ``metrics.json`` that ``swinseg test`` writes, or its folder.
        checkpoint: that the figures must be of.

    Raises:
        CheckpointError: there is no such file, it has no figures, or they are of another checkpoint.
    """
    file = Path(path) / 'metrics.json' if os.path.isdir(path) else Path(path)
    expected = 'expected the metrics.json that swinseg test writes (--out DIR), or its folder'
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f'{file} is larger than any evaluation; {expected}')
        content = json.loads(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise CheckpointError(
            f'cannot read the evaluation {file}: {error.strerror or error}; {expected}'
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{file} is not JSON; {expected}') from error
    headline = content.get('headline') if isinstance(content, dict) else None
    values = {
        key: float(value)
        for key, value in (headline.items() if isinstance(headline, dict) else ())
        if key in _METRICS and isinstance(value, (int, float))
    }
    protocol = content.get('protocol') if isinstance(content, dict) else None
    text = protocol.get('text') if isinstance(protocol, dict) else None
    if not values or not isinstance(text, str):
        raise CheckpointError(
            f'{file} has no {METRICS_MARK.split(":")[0]} with a figure, or no protocol; {expected}'
        )
    evaluated = Path(str(content.get('checkpoint', ''))).name
    if evaluated != Path(os.fspath(checkpoint)).name:
        raise CheckpointError(
            f'{file} is the evaluation of {quoted(evaluated)}, not of {Path(os.fspath(checkpoint)).name}; '
            'evaluate this checkpoint with swinseg test'
        )
    return Figures(values, text)


def best_figures(
    message_hub: Any, *, checkpoint: str | os.PathLike[str], protocol: str
) -> Figures | None:
    """Return the figure by which a training called a checkpoint its best, or None where it is not one of those.

    Args:
        message_hub: what mmengine saved under that name in the checkpoint.
        checkpoint: its path.
        protocol: of the config's validation, in words.
    """
    info = message_hub.get('runtime_info') if isinstance(message_hub, Mapping) else None
    if not isinstance(info, Mapping):
        return None
    file = Path(os.fspath(checkpoint)).name
    values = {}
    for metric in _METRICS:
        # mmengine adds the name of the metric where it keeps the best of several.
        for ending in (f'_{metric}', ''):
            score, path = info.get(f'best_score{ending}'), info.get(f'best_ckpt{ending}')
            is_of_metric = bool(ending) or file.startswith(f'best_{metric}_')
            if isinstance(score, (int, float)) and isinstance(path, str) and is_of_metric:
                if re.split(r'[/\\]', path)[-1] == file:
                    values[metric] = float(score)
                break
    return Figures(values, f'{protocol}, by the validation of the training') if values else None


def _metadata(content: CardContent) -> dict[str, Any]:
    hub_dataset = _HUB_DATASETS.get(content.dataset or '')
    metadata: dict[str, Any] = {}
    if content.license is not None:
        metadata['license'] = content.license
    metadata |= {
        'library_name': LIBRARY,
        'pipeline_tag': TASK,
        'tags': ['semantic-segmentation', 'swin', 'upernet', 'swinseg'],
    }
    if hub_dataset is not None:
        metadata['datasets'] = [hub_dataset]
    if content.figures is not None:
        metrics = [
            {
                'type': _METRICS[key][0],
                'name': f'{_METRICS[key][1]} ({content.figures.protocol})',
                'value': round(value, 4),
            }
            for key, value in content.figures.values.items()
        ]
        dataset_name = content.dataset_name or 'the test set of the config'
        metadata['metrics'] = [metric['type'] for metric in metrics]
        metadata['model-index'] = [
            {
                'name': content.name,
                'results': [
                    {
                        'task': {'type': TASK, 'name': 'Semantic segmentation'},
                        'dataset': {
                            'name': dataset_name,
                            'type': hub_dataset or _slug(dataset_name),
                        },
                        'metrics': metrics,
                    }
                ],
            }
        ]
    return metadata


def _text(content: CardContent) -> str:
    parts = [
        f'# {_plain(content.name)}\n\n'
        f'UPerNet on {_plain(content.architecture)}. It gives each pixel of a photograph one of '
        f'{len(content.classes)} classes.'
        + (f' Dataset: {_plain(content.dataset_name)}.' if content.dataset_name else ''),
        _figures_text(content.figures),
        '## Intended use\n\n'
        f'Labels of whole images of the kind that the model was trained on. {content.preprocessing} On other '
        'images, or for classes that are rare in the training set, measure first: the figures of a test set say '
        'nothing about them.',
        '## Limits\n\n'
        + '\n'.join(
            f'- {_plain(note)}'
            for note in (
                *content.notes,
                'Every pixel gets one of the classes, also where a thing is of none of them.',
                *(
                    ()
                    if content.license
                    else ('The license is not stated: ask who published the model.',)
                ),
            )
        ),
        '## Use\n\nIn transformers:\n\n'
        '```python\n'
        'from PIL import Image, ImageOps\n'
        'from transformers import AutoImageProcessor, UperNetForSemanticSegmentation\n\n'
        "folder = 'FOLDER_OR_REPOSITORY'\n"
        'processor = AutoImageProcessor.from_pretrained(folder)\n'
        'model = UperNetForSemanticSegmentation.from_pretrained(folder).eval()\n'
        "image = ImageOps.exif_transpose(Image.open('photo.jpg')).convert('RGB')\n"
        "outputs = model(**processor(images=image, return_tensors='pt'))\n"
        'labels = processor.post_process_semantic_segmentation(outputs, [image.size[::-1]])[0]\n'
        '```\n\n'
        'In swinseg, which keeps the whole test pipeline of the training:\n\n'
        '```python\n'
        'from swinseg import Predictor\n\n'
        "predictor = Predictor.from_pretrained('FOLDER')  # or 'hf:OWNER/NAME'\n"
        "labels = predictor('photo.jpg').labels\n"
        '```',
        '## Classes\n\n'
        + ', '.join(f'{index} {_plain(name)}' for index, name in enumerate(content.classes)),
    ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _figures_text(figures: Figures | None) -> str:
    if figures is None:
        return '## Figures\n\nNone were given with the checkpoint.'
    rows = '\n'.join(f'| {key} | {value:.2f} |' for key, value in figures.values.items())
    return (
        f'## Figures\n\nIn percent; protocol: {_plain(figures.protocol)}.\n\n'
        f'| metric | value |\n|---|---|\n{rows}'
    )


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: class names may hold anything."""
    return re.sub(r'([\\`*_{}\[\]<>#|])', r'\\\1', text)


def _slug(name: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'dataset'
