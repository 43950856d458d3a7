"""``config.json`` of transformers' ``UperNetForSemanticSegmentation`` from the model of a config, and back.

That class has one way of computing most things for which mmseg's heads and backbone have arguments. Each argument
below is translated, is of training alone, or must have the value that the class computes with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.errors import CheckpointError, quoted
from swinseg.type_names import has_type, type_name

ARCHITECTURE = 'UperNetForSemanticSegmentation'

# mmseg's argument, transformers' field, and the default of both.
_BACKBONE_FIELDS: tuple[tuple[str, str, Any], ...] = (
    ('embed_dims', 'embed_dim', 96),
    ('depths', 'depths', [2, 2, 6, 2]),
    ('num_heads', 'num_heads', [3, 6, 12, 24]),
    ('window_size', 'window_size', 7),
    ('patch_size', 'patch_size', 4),
    ('mlp_ratio', 'mlp_ratio', 4.0),
    ('qkv_bias', 'qkv_bias', True),
    ('pretrain_img_size', 'image_size', 224),
    ('drop_rate', 'hidden_dropout_prob', 0.0),
    ('attn_drop_rate', 'attention_probs_dropout_prob', 0.0),
    ('drop_path_rate', 'drop_path_rate', 0.1),
)
_LAYER_NORM_EPS = 1e-5
_OF_TRAINING = {
    'backbone': ('init_cfg', 'pretrained', 'with_cp', 'frozen_stages', 'convert_weights'),
    'head': ('dropout_ratio', 'loss_decode', 'sampler', 'init_cfg', 'threshold'),
}
_BATCH_NORMS = ('BN', 'BN2d', 'SyncBN')
_HEAD_FIELDS = (
    'channels',
    'num_classes',
    'in_channels',
    'in_index',
    'ignore_index',
    'norm_cfg',
    'out_channels',
)
_INSTEAD = 'write the weights alone, with a file such as model.safetensors as the output'
_AUXILIARY_STAGE = 2


def to_upernet_config(
    model: Mapping[str, Any], classes: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of ``config.json`` for a config's model.

    Args:
        model: ``model`` of a config: a segmentor with a Swin backbone and a UPerNet head.
        classes: K names.

    Returns:
        The fields, and a sentence for each part of training that they leave out.

    Raises:
        CheckpointError: ``UperNetForSemanticSegmentation`` cannot compute what the model does.
    """
    if not has_type(model, 'EncoderDecoder', 'SwinSegmentor'):
        raise _inexpressible('model.type', model.get('type'), 'SwinSegmentor or EncoderDecoder')
    if model.get('multi_label'):
        raise _inexpressible('model.multi_label', True, 'False')
    if model.get('neck') is not None:
        raise _inexpressible('model.neck', model['neck'], 'none')
    backbone = _mapping(model, 'backbone', 'model')
    head = _mapping(model, 'decode_head', 'model')
    backbone_config = _backbone_config(backbone)
    channels = _channels(backbone_config)
    _check_head(head, channels, classes)
    fields: dict[str, Any] = {
        'architectures': [ARCHITECTURE],
        'model_type': 'upernet',
        'backbone_config': backbone_config,
        'hidden_size': int(head['channels']),
        'pool_scales': list(head.get('pool_scales', (1, 2, 3, 6))),
        'loss_ignore_index': head.get('ignore_index', 255),
        'id2label': {str(index): name for index, name in enumerate(classes)},
        'label2id': {name: index for index, name in enumerate(classes)},
    }
    auxiliary = model.get('auxiliary_head')
    reason = None if auxiliary is None else _auxiliary_reason(auxiliary, channels, head)
    notes = []
    if reason is not None:
        notes.append(
            f'The auxiliary head, which only training uses, is left out: {reason}, which transformers '
            'cannot express.'
        )
    if auxiliary is None or reason is not None:
        return {**fields, 'use_auxiliary_head': False}, notes
    return {
        **fields,
        'use_auxiliary_head': True,
        'auxiliary_loss_weight': _loss_weight(auxiliary),
        'auxiliary_in_channels': channels[_AUXILIARY_STAGE],
        'auxiliary_channels': int(auxiliary['channels']),
        'auxiliary_num_convs': auxiliary.get('num_convs', 2),
        'auxiliary_concat_input': bool(auxiliary.get('concat_input', True)),
    }, notes


def from_upernet_config(
    fields: Mapping[str, Any], *, name: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the model of a config, without ``data_preprocessor``, and the class names of a ``config.json``.

    Args:
        fields: of the file; those that it lacks are transformers' defaults.
        name: what to call the file.

    Returns:
        The model in the types of this package, and K names.

    Raises:
        CheckpointError: it is of another model, or of a Swin Transformer that this package has not.
    """
    if fields.get('model_type') != 'upernet':
        raise CheckpointError(
            f"{name} describes a model of the type {quoted(fields.get('model_type'))}; expected 'upernet' with a "
            "backbone 'swin', such as openmmlab/upernet-swin-tiny"
        )
    given = fields.get('backbone_config')
    if not isinstance(given, Mapping) or given.get('model_type') != 'swin':
        found = given.get('model_type') if isinstance(given, Mapping) else given
        raise CheckpointError(
            f"{name} describes UPerNet with the backbone {quoted(found)}; expected 'swin', the only one that this "
            'package builds from such a folder'
        )
    settings = {ours: given.get(theirs, default) for ours, theirs, default in _BACKBONE_FIELDS}
    depths = _whole_numbers(settings, 'depths', name)
    settings['num_heads'] = _whole_numbers(settings, 'num_heads', name)
    for key in ('embed_dims', 'window_size', 'patch_size'):
        _whole_numbers({key: [settings[key]]}, key, name)
    if isinstance(settings['pretrain_img_size'], list):
        settings['pretrain_img_size'] = tuple(settings['pretrain_img_size'])
    stages = [f'stage{number}' for number in range(1, len(depths) + 1)]
    fixed = {
        'num_channels': (3,),
        'use_absolute_embeddings': (False,),
        'hidden_act': ('gelu',),
        'layer_norm_eps': (_LAYER_NORM_EPS,),
        'out_features': (stages,),
    }
    found = {'out_features': _out_features(given, stages)}
    for key, allowed in fixed.items():
        value = found.get(key, given.get(key, allowed[0]))
        if value not in allowed:
            raise CheckpointError(
                f'{name} has backbone_config.{key}={quoted(value)}; expected {allowed[0]!r}, the only one with '
                'which this package computes a UPerNet of transformers'
            )
    backbone = {
        'type': 'SwinBackbone',
        **settings,
        'strides': [settings['patch_size'], *[2] * (len(depths) - 1)],
        'out_indices': list(range(len(depths))),
    }
    classes = _class_names(fields, name)
    channels = [settings['embed_dims'] << stage for stage in range(len(depths))]
    common = {
        'num_classes': len(classes),
        'norm_cfg': {'type': 'BN', 'requires_grad': True},
        'align_corners': False,
        'ignore_index': fields.get('loss_ignore_index', 255),
    }
    model = {
        'type': 'SwinSegmentor',
        'backbone': backbone,
        'decode_head': {
            'type': 'UPerNetHead',
            'in_channels': channels,
            'in_index': list(range(len(depths))),
            'pool_scales': _whole_numbers(
                {'pool_scales': fields.get('pool_scales', [1, 2, 3, 6])}, 'pool_scales', name
            ),
            'channels': fields.get('hidden_size', 512),
            **common,
        },
        'test_cfg': {'mode': 'whole'},
    }
    if fields.get('use_auxiliary_head', True) and len(depths) > _AUXILIARY_STAGE:
        model['auxiliary_head'] = {
            'type': 'FCNHead',
            'in_channels': channels[_AUXILIARY_STAGE],
            'in_index': _AUXILIARY_STAGE,
            'channels': fields.get('auxiliary_channels', 256),
            'num_convs': fields.get('auxiliary_num_convs', 1),
            'concat_input': bool(fields.get('auxiliary_concat_input', False)),
            'loss_decode': {
                'type': 'CrossEntropyLoss',
                'loss_weight': fields.get('auxiliary_loss_weight', 0.4),
            },
            **common,
        }
    return model, classes


def _backbone_config(backbone: Mapping[str, Any]) -> dict[str, Any]:
    if not has_type(backbone, 'SwinBackbone', 'SwinTransformer'):
        raise _inexpressible('model.backbone.type', backbone.get('type'), 'a Swin Transformer')
    fields = {theirs: backbone.get(ours, default) for ours, theirs, default in _BACKBONE_FIELDS}
    fields = {key: list(v) if isinstance(v, (list, tuple)) else v for key, v in fields.items()}
    stages = len(fields['depths'])
    fixed: dict[str, tuple[Any, ...]] = {
        'in_channels': (3,),
        'strides': ([fields['patch_size'], *[2] * (stages - 1)],),
        'out_indices': (list(range(stages)),),
        'qk_scale': (None, 0),
        'patch_norm': (True,),
        'use_abs_pos_embed': (False,),
        'use_rel_pos_bias': (True,),
        'shifted_windows': ('cyclic', 'padding'),
        'attention': ('window',),
    }
    # mmseg's defaults are those of four stages and patches of 4 pixels.
    defaults = {'strides': [4, 2, 2, 2], 'out_indices': [0, 1, 2, 3]}
    _check_fixed('model.backbone', {**defaults, **backbone}, fixed)
    known = {ours for ours, _, _ in _BACKBONE_FIELDS} | set(fixed) | {'type', 'act_cfg', 'norm_cfg'}
    _check_known('model.backbone', backbone, known | set(_OF_TRAINING['backbone']))
    _check_layer('model.backbone.act_cfg', backbone.get('act_cfg'), ('GELU',))
    _check_layer('model.backbone.norm_cfg', backbone.get('norm_cfg'), ('LN',))
    return {
        'model_type': 'swin',
        **fields,
        'num_channels': 3,
        'hidden_act': 'gelu',
        'layer_norm_eps': _LAYER_NORM_EPS,
        'use_absolute_embeddings': False,
        'out_features': [f'stage{number}' for number in range(1, stages + 1)],
        'out_indices': list(range(1, stages + 1)),
    }


def _channels(backbone_config: Mapping[str, Any]) -> list[int]:
    return [
        backbone_config['embed_dim'] << stage for stage in range(len(backbone_config['depths']))
    ]


def _check_head(head: Mapping[str, Any], channels: list[int], classes: Sequence[str]) -> None:
    place = 'model.decode_head'
    if not has_type(head, 'UPerNetHead', 'UPerHead'):
        raise _inexpressible(f'{place}.type', head.get('type'), 'UPerNetHead or UPerHead')
    if head.get('out_channels', head.get('num_classes')) not in (None, head.get('num_classes')):
        raise _inexpressible(
            f'{place}.out_channels', head['out_channels'], 'a score for each class (num_classes)'
        )
    _check_head_layers(head, place)
    _check_fixed(
        place,
        head,
        {
            'in_index': (list(range(len(channels))),),
            'in_channels': (channels,),
            'input_transform': ('multiple_select', None),
        },
    )
    if 'channels' not in head:
        raise _inexpressible(f'{place}.channels', None, 'a number')
    known = {'type', 'pool_scales', 'align_corners', 'act_cfg', 'conv_cfg', 'input_transform'}
    _check_known(place, head, known | set(_HEAD_FIELDS) | set(_OF_TRAINING['head']))
    if head.get('num_classes') != len(classes):
        raise CheckpointError(
            f'{place} has {head.get("num_classes")} classes, but {len(classes)} names are known; use the config '
            'and checkpoint of the same training'
        )


def _check_head_layers(head: Mapping[str, Any], place: str) -> None:
    _check_fixed(place, head, {'align_corners': (False,), 'conv_cfg': (None, {'type': 'Conv2d'})})
    _check_layer(f'{place}.act_cfg', head.get('act_cfg'), ('ReLU',))
    norm = head.get('norm_cfg')
    if norm is None:
        raise _inexpressible(f'{place}.norm_cfg', None, "batch norm, such as dict(type='BN')")
    _check_layer(f'{place}.norm_cfg', norm, _BATCH_NORMS)


def _auxiliary_reason(
    auxiliary: Any, channels: list[int], decode_head: Mapping[str, Any]
) -> str | None:
    """Return why transformers has no such auxiliary head, as a clause, or None where it has it."""
    if not isinstance(auxiliary, Mapping):
        return f'there are {len(auxiliary)} of them'
    if not has_type(auxiliary, 'FCNHead'):
        return f'it is of the type {type_name(auxiliary.get("type"))}'
    place = 'model.auxiliary_head'
    expected = channels[_AUXILIARY_STAGE] if len(channels) > _AUXILIARY_STAGE else None
    classes = decode_head.get('num_classes')
    index = auxiliary.get('in_index', -1)
    try:
        _check_head_layers(auxiliary, place)
        _check_fixed(
            place,
            {
                **auxiliary,
                'in_index': index + len(channels)
                if isinstance(index, int) and index < 0
                else index,
            },
            {
                'in_index': (_AUXILIARY_STAGE,),
                'in_channels': (expected,),
                'num_classes': (classes,),
                'out_channels': (None, classes),
                'kernel_size': (3,),
                'dilation': (1,),
                'input_transform': (None,),
            },
        )
        known = {
            'type',
            'num_convs',
            'concat_input',
            'kernel_size',
            'dilation',
            'align_corners',
            'act_cfg',
        }
        known |= {'conv_cfg', 'input_transform'}
        _check_known(place, auxiliary, known | set(_HEAD_FIELDS) | set(_OF_TRAINING['head']))
    except _InexpressibleError as error:
        return error.clause
    return None


def _loss_weight(head: Mapping[str, Any]) -> float:
    losses = head.get('loss_decode') or {}
    losses = [losses] if isinstance(losses, Mapping) else losses
    return float(sum(loss.get('loss_weight', 1.0) for loss in losses))


class _InexpressibleError(CheckpointError):
    """transformers has no place for a value; ``clause`` says which."""

    def __init__(self, message: str, clause: str) -> None:
        super().__init__(message)
        self.clause = clause


def _inexpressible(place: str, value: Any, expected: str) -> _InexpressibleError:
    clause = f'it has {place}={quoted(value)}'
    return _InexpressibleError(
        f"a folder for transformers' {ARCHITECTURE} needs {expected}, found {place}={quoted(value)}; {_INSTEAD}",
        clause,
    )


def _check_fixed(
    place: str, settings: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]]
) -> None:
    for key, allowed in fixed.items():
        value = settings.get(key, allowed[0])
        value = list(value) if isinstance(value, tuple) else value
        if value not in allowed:
            raise _inexpressible(f'{place}.{key}', value, f'{key}={allowed[0]!r}')


def _check_known(place: str, settings: Mapping[str, Any], known: set[str]) -> None:
    for key, value in settings.items():
        if key not in known and value is not None:
            raise _inexpressible(f'{place}.{key}', value, f'a part without {key}')


def _check_layer(place: str, settings: Any, types: tuple[str, ...]) -> None:
    """Check the ``act_cfg`` or ``norm_cfg`` of a part; None is the part's own."""
    if settings is None:
        return
    if not has_type(settings, *types):
        raise _inexpressible(place, settings, f'a layer of the type {types[0]}')
    if settings.get('eps', _LAYER_NORM_EPS) != _LAYER_NORM_EPS or settings.get('affine') is False:
        raise _inexpressible(place, settings, f'{types[0]} with eps={_LAYER_NORM_EPS}')


def _mapping(settings: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    value = settings.get(key)
    if not isinstance(value, Mapping):
        raise _inexpressible(f'{place}.{key}', value, f'one {key}')
    return value


def _whole_numbers(settings: Mapping[str, Any], key: str, name: str) -> list[int]:
    value = settings[key]
    if (
        not isinstance(value, (list, tuple))
        or not value
        or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value)
    ):
        raise CheckpointError(
            f'{name} has {key}={quoted(value)}, where whole numbers above 0 are expected; fetch the file again'
        )
    return list(value)


def _out_features(backbone: Mapping[str, Any], stages: list[str]) -> Any:
    if backbone.get('out_features') is not None:
        return backbone['out_features']
    indices = backbone.get('out_indices')
    if not isinstance(indices, list):
        return stages[-1:]  # transformers' default
    names = ['stem', *stages]
    return [
        names[i] if isinstance(i, int) and -len(names) <= i < len(names) else i for i in indices
    ]


def _class_names(fields: Mapping[str, Any], name: str) -> list[str]:
    names = fields.get('id2label')
    if names is None:
        count = fields.get('num_labels', 2)
        return [f'LABEL_{index}' for index in range(count if isinstance(count, int) else 2)]
    by_index = {str(key): value for key, value in names.items()} if isinstance(names, dict) else {}
    listed = [by_index.get(str(index)) for index in range(len(by_index))]
    if not listed or not all(isinstance(label, str) for label in listed):
        raise CheckpointError(
            f'{name} has id2label={quoted(names)}, where a name for each class from "0" on is expected; fetch the '
            'file again, or write the folder anew'
        )
    return [str(label) for label in listed]
