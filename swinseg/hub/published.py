"""Checkpoint of a published model with the config, class names and palette that its file lacks.

The sizes are read off the shapes of the weights. Images are prepared as in the published evaluations on ADE20K.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from swinseg.checkpoints import formats
from swinseg.checkpoints.architecture import describe, infer_architecture
from swinseg.checkpoints.meta import raw_meta
from swinseg.checkpoints.reading import state_dict_of
from swinseg.datasets.ade20k import ADE20K
from swinseg.errors import HubError
from swinseg.hub.catalogue import PublishedModel
from swinseg.hub.folder import config_text
from swinseg.hub.upernet import from_upernet_config

# Of the shipped config upernet_swin_t_ade20k, without what only training needs; a test compares them.
_PREPROCESSOR = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
# The longer side at most, and the shorter one.
_SCALE = (2048, 512)
_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_TEST_PIPELINE = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=_SCALE, keep_ratio=True),
    dict(type='PackSegInputs'),
]
_TTA_PIPELINE = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=tuple(int(side * f) for side in _SCALE), keep_ratio=True)
                for f in _FACTORS
            ],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='PackSegInputs')],
        ],
    ),
]


def completed(checkpoint: Mapping[str, Any], model: PublishedModel) -> dict[str, Any]:
    """Return the checkpoint of a published model as ``swinseg train`` would have saved it.

    Args:
        checkpoint: what its file holds.
        model: which one it should be. Its class names and palette, where it has some, are kept; its config is
            not, for those of mmsegmentation 0.x build nothing today.

    Returns:
        ``state_dict`` in mmseg's names, and ``meta`` with ``classes``, ``palette`` and ``config``.

    Raises:
        HubError: it is another model.
        CheckpointError: it has no weights, or in no known format.
    """
    weights = formats.to_mmseg(state_dict_of(checkpoint))
    found = infer_architecture(weights)
    expected = (model.embed_dims, model.depths, model.window_size)
    if (found['embed_dims'], found['depths'], found['window_size']) != expected:
        raise HubError(
            f'expected {model.backbone} with a window of {model.window_size} as {model.name}, found '
            f'{describe(found)}; its file at {model.address} is another one, use another model'
        )
    meta = raw_meta(checkpoint)
    classes, palette = meta['classes'], meta['palette']
    if classes is None:
        classes = list(ADE20K.METAINFO['classes'])
    if palette is None and len(classes) == len(ADE20K.METAINFO['palette']):
        palette = ADE20K.METAINFO['palette']
    content = {
        'model': _segmentor(weights, found, model),
        'test_pipeline': _TEST_PIPELINE,
        'tta_pipeline': _TTA_PIPELINE,
    }
    return {
        'state_dict': weights,
        'meta': {'classes': classes, 'palette': palette, 'config': config_text(content)},
    }


def _segmentor(
    weights: Mapping[str, Tensor], found: Mapping[str, Any], model: PublishedModel
) -> dict[str, Any]:
    """Return ``model`` of a config, without the auxiliary head, which only training uses."""
    classifier = weights.get('decode_head.conv_seg.weight')
    if classifier is None or classifier.dim() != 4 or found['num_heads'] is None:
        raise HubError(
            f'expected a UPerNet head in {model.name}, found none; its file at {model.address} is another one, '
            'use another model'
        )
    depths = list(found['depths'])
    backbone = {
        'model_type': 'swin',
        'embed_dim': found['embed_dims'],
        'depths': depths,
        'num_heads': list(found['num_heads']),
        'window_size': found['window_size'],
        'patch_size': found['patch_size'],
        'out_features': [f'stage{number}' for number in range(1, len(depths) + 1)],
    }
    fields = {
        'model_type': 'upernet',
        'backbone_config': backbone,
        'hidden_size': classifier.shape[1],
        'num_labels': classifier.shape[0],
        'use_auxiliary_head': False,
    }
    segmentor, _ = from_upernet_config(fields, name=model.name)
    return {**segmentor, 'data_preprocessor': _PREPROCESSOR}
