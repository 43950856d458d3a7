"""Configs that came inside a weights file, reduced to what prediction reads and to classes of a list.

mmengine builds whatever a ``type`` names: a name that no registry knows is imported as a path, so
``dict(type='subprocess.getoutput', cmd=...)`` runs a command. A config file of the user's own may do that, as any
program of his may; one that a stranger's checkpoint brings must not. It is walked here before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings
from mmseg.registry import DATASETS

from swinseg.config.checking import dotted
from swinseg.config.pipelines import LABEL_LOADERS, pipeline_of
from swinseg.errors import ConfigError, quoted
from swinseg.type_names import PACKAGES, type_name

KeyPath = tuple[str | int, ...]

HOW_TO_TRUST = (
    'a config inside a weights file may only name known parts, because it may come from anyone; give the config '
    'that you know with --config, or, if you trust who made the file, add --trust (trust=True in Python)'
)

# Classes that compute from their arguments alone: none reads a file, asks a server, or calls what an argument
# names; TimmBackbone knows names of networks only, and none of its arguments may name weights. Left out for that
# reason: TIMMBackbone, VPD, the CLIP models, Albu, KeyMapper, anything of mmdet.
_MODEL_TYPES = frozenset((
    'SwinSegmentor', 'EncoderDecoder', 'CascadeEncoderDecoder', 'SegDataPreProcessor',
    'SwinBackbone', 'SwinV2Backbone',
    'BEiT', 'BiSeNetV1', 'BiSeNetV2', 'CGNet', 'DDRNet', 'ERFNet', 'FastSCNN', 'HRNet',
    'ICNet', 'MAE', 'MSCAN', 'MixVisionTransformer',
    'MobileNetV2', 'MobileNetV3', 'PCPVT', 'PIDNet', 'ResNeSt', 'ResNeXt', 'ResNet', 'ResNetV1c', 'ResNetV1d',
    'STDCContextPathNet', 'STDCNet', 'SVT',
    'SwinTransformer', 'TimmBackbone', 'UNet', 'VisionTransformer',
    'FPN', 'Feature2Pyramid', 'ICNeck', 'JPU', 'MLANeck', 'MultiLevelNeck', 'SimpleFeaturePyramid',
    'UPerNetHead', 'ANNHead', 'APCHead', 'ASPPHead', 'CCHead', 'DAHead', 'DDRHead', 'DMHead', 'DNLHead',
    'DPTHead', 'DepthwiseSeparableASPPHead',
    'DepthwiseSeparableFCNHead', 'EMAHead', 'EncHead', 'FCNHead', 'FPNHead', 'GCHead', 'ISAHead',
    'IterativeDecodeHead', 'KernelUpdateHead', 'KernelUpdator', 'LRASPPHead', 'LightHamHead', 'NLHead', 'OCRHead',
    'PIDHead', 'PSAHead', 'PSPHead', 'PointHead', 'SETRMLAHead', 'SETRUPHead', 'STDCHead', 'SegformerHead',
    'SegmenterMaskTransformerHead',
    'UPerHead',
    'BoundaryLoss', 'CrossEntropyLoss', 'DiceLoss', 'FocalLoss', 'HuasdorffDisstanceLoss', 'LovaszLoss',
    'OhemCrossEntropy', 'TverskyLoss',
    'LovaszSoftmaxLoss', 'SoftDiceLoss', 'SoftmaxFocalLoss', 'OHEMPixelSampler',
    'SigmoidCrossEntropyLoss', 'SigmoidDiceLoss', 'SigmoidFocalLoss',
    'Conv', 'Conv1d', 'Conv2d', 'ConvAWS', 'ConvWS', 'Conv2dAdaptivePadding', 'ConvTranspose2d', 'deconv',
    'DeconvModule', 'InterpConv',
    'pixel_shuffle', 'bilinear', 'nearest', 'reflect', 'replicate', 'zero',
    'BN', 'BN1d', 'BN2d', 'SyncBN', 'GN', 'IN', 'IN2d', 'LN',
    'Clamp', 'Clip', 'ELU', 'GELU', 'HSigmoid', 'HSwish', 'LeakyReLU', 'PReLU', 'RReLU', 'ReLU', 'ReLU6',
    'SiLU', 'Sigmoid', 'Swish', 'Tanh',
    'DropPath', 'Dropout', 'FFN',
))  # fmt: skip
_TRANSFORM_TYPES = frozenset((
    'LoadImage', 'LoadImageFromFile', 'LoadImageFromNDArray',
    'Resize', 'ResizeShortestEdge', 'ResizeToMultiple', 'RandomFlip', 'RandomResize', 'RandomChoiceResize',
    'RandomCrop', 'CenterCrop', 'Pad',
    'Normalize', 'AdjustGamma', 'CLAHE', 'RGB2Gray', 'Rerange', 'TestTimeAug', 'PackSegInputs', 'PackPlanes',
))  # fmt: skip

# Arguments that name a class which is built.
_TYPE_KEYS = ('type', 'resize_type')
# Weights that a part would begin with; those of the file take their place.
_INITIAL_WEIGHTS = ('init_cfg', 'pretrained')
_FILE_CLIENTS = ('backend_args', 'file_client_args')
_LOCAL_FILES: tuple[Any, ...] = (None, {}, {'backend': 'local'}, {'backend': 'disk'})

# Names of modes and keys have letters, digits, "_", "-" and spaces; paths, addresses and import paths have more.
_PLAIN_TEXT = re.compile(r'[\w -]*', re.ASCII)
# timm's names of networks have the tag of their weights behind a dot.
_MODEL_NAME = re.compile(r'[\w.]*', re.ASCII)

_MOST_ENTRIES = 100_000
_MOST_DEPTH = 50
_LARGEST_NUMBER = 65_536
_LARGEST_SIDE = 16_384
# What is multiplied with the size of an image.
_LARGEST_OF = {'size_divisor': 4096, 'scale_factor': 16, 'ratio_range': 16}


def prediction_config(content: Mapping[str, Any], *, name: str) -> Config:
    """Return what prediction reads of an untrusted config, when all of it is harmless.

    Args:
        content: the config as ``swinseg.checkpoints.meta.parse_config_text`` returns it: literals only.
        name: what to call it in a message.

    Returns:
        A config with ``model``, ``test_pipeline``, ``metainfo`` (``classes`` and ``palette`` of the test dataset,
        each None where they are not spelled out) and, where there is one, ``tta_pipeline``. Types in it are names
        of listed classes; initial weights and the loading of labels are left out. Nothing is built or read for it.

    Raises:
        ConfigError: it is nested without end; it has import paths, another package's names or ``custom_imports``
            anywhere; or, in a part that prediction reads, a class that is not listed, a file, an address, or a
            number that no model needs.
    """
    for place, node in _walk(content, name):
        _check_anywhere(place, node, name)
    kept: dict[str, Any] = {
        'model': _checked(_model_of(content, name), ('model',), name),
        'test_pipeline': _checked_steps(_test_steps(content, name), 'test_pipeline', name),
        'metainfo': _spelled_metainfo(content),
    }
    if content.get('tta_pipeline') is not None:
        kept['tta_pipeline'] = _checked_steps(content['tta_pipeline'], 'tta_pipeline', name)
    return Config(kept)


def trusted_config(content: Mapping[str, Any], *, name: str) -> Config:
    """Return all of a config from a weights file whose maker is trusted, after its ``custom_imports``.

    Args:
        content: the config as ``swinseg.checkpoints.meta.parse_config_text`` returns it.
        name: what to call it in a message.

    Raises:
        ConfigError: a module that it names cannot be imported, it uses names that configs keep for themselves, or
            its model or test data loader is none.
    """
    _model_of(content, name)
    _test_steps(content, name)
    try:
        cfg = Config(dict(content))
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg['custom_imports'])
    except (ImportError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{name} cannot be used: {str(error).splitlines()[0]}; make its modules importable with PYTHONPATH, '
            'or give the config with --config'
        ) from error
    return cfg


def _walk(content: Mapping[str, Any], name: str) -> Iterator[tuple[KeyPath, Any]]:
    """Yield everything in a config with its place.

    Raises:
        ConfigError: it has more entries, or is nested deeper, than any config.
    """
    waiting: list[tuple[KeyPath, Any]] = [((), content)]
    entries = 0
    while waiting:
        place, node = waiting.pop()
        yield place, node
        for key, value in _entries(node):
            entries += 1
            if entries > _MOST_ENTRIES or len(place) >= _MOST_DEPTH:
                raise ConfigError(
                    f'{name} has more than {_MOST_ENTRIES:,} entries or is nested more than {_MOST_DEPTH} times, '
                    'which no config needs; give the config that you know with --config'
                )
            waiting.append(((*place, key), value))


def _entries(node: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return node.items()
    return enumerate(node) if isinstance(node, (list, tuple, set)) else ()


def _check_anywhere(place: KeyPath, node: Any, name: str) -> None:
    """Refuse what nobody needs in a config, even in a part that is never built."""
    key = place[-1] if place else None
    if key in _TYPE_KEYS and isinstance(node, str) and _bare_type(node) is None:
        raise _refused(place, node, name, 'is an import path')
    if key == '_scope_' and node not in PACKAGES:
        raise _refused(place, node, name, 'names another package')
    if key == '_base_':
        raise _refused(place, node, name, 'would read other files')
    if key == 'custom_imports' and not _imports_known(node):
        raise _refused(place, node, name, 'would import other modules')


def _bare_type(kind: str) -> str | None:
    """Return the class name in ``kind``, without a known package before it; None where it is an import path."""
    name = type_name(kind)
    return name if '.' not in name else None


def _imports_known(imports: Any) -> bool:
    """Whether ``custom_imports`` names nothing but the packages that are imported in any case."""
    modules = imports.get('imports') if isinstance(imports, dict) else imports
    modules = [modules] if isinstance(modules, str) else modules or []
    return isinstance(modules, (list, tuple)) and all(
        isinstance(module, str) and module in PACKAGES for module in modules
    )


def _checked(node: Any, place: KeyPath, name: str) -> Any:
    """Return a copy of a part that is going to be built, with bare type names and without initial weights."""
    if isinstance(node, dict):
        checked = {}
        for key, value in node.items():
            if not isinstance(key, str):
                raise _refused(place, key, name, 'is no name of an argument')
            if key in _INITIAL_WEIGHTS:
                continue
            if key in _TYPE_KEYS:
                checked[key] = _listed_type(value, (*place, key), name)
            elif key in _FILE_CLIENTS and value not in _LOCAL_FILES:
                raise _refused((*place, key), value, name, 'would read files in other ways')
            elif (
                key != '_scope_'
            ):  # the bare names are looked up in mmseg's registry and its parents
                checked[key] = _checked(value, (*place, key), name)
        return checked
    if isinstance(node, (list, tuple)):
        items = [
            _checked(item, (*place, index), name)
            for index, item in enumerate(node)
            if not _loads_labels(item)
        ]
        return items if isinstance(node, list) else tuple(items)
    _check_leaf(node, place, name)
    return node


def _loads_labels(step: Any) -> bool:
    return isinstance(step, dict) and _bare_type(str(step.get('type'))) in LABEL_LOADERS


def _listed_type(kind: Any, place: KeyPath, name: str) -> str:
    bare = _bare_type(kind) if isinstance(kind, str) else None
    if bare is None or bare not in (_MODEL_TYPES if place[0] == 'model' else _TRANSFORM_TYPES):
        raise _refused(place, kind, name, 'is not one of the classes that are known to be harmless')
    return bare


def _check_leaf(node: Any, place: KeyPath, name: str) -> None:
    if isinstance(node, str):
        # class_weight is read from a file where it is text.
        pattern = _MODEL_NAME if place == ('model', 'backbone', 'model_name') else _PLAIN_TEXT
        if not pattern.fullmatch(node) or place[-1] == 'class_weight':
            raise _refused(place, node, name, 'may be a file, an address or an import path')
    elif isinstance(node, (int, float)):
        most = _LARGEST_SIDE if _is_about_pixels(place) else _LARGEST_NUMBER
        most = _LARGEST_OF.get(_last_name(place), most)
        if abs(node) > most and not (isinstance(node, float) and not math.isfinite(node)):
            raise ConfigError(
                f'{dotted(place)}={quoted(node)} in {name} is larger than any model needs ({most:,}); '
                f'{HOW_TO_TRUST}'
            )
    elif node is not None:
        raise _refused(place, node, name, 'is neither text nor a number')


def _is_about_pixels(place: KeyPath) -> bool:
    return place[0] != 'model' or place[1:2] == ('data_preprocessor',)


def _last_name(place: KeyPath) -> str:
    return next((part for part in reversed(place) if isinstance(part, str)), '')


def _model_of(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    model = content.get('model')
    if not isinstance(model, dict):
        raise ConfigError(
            f'expected model=dict(...) in {name}, found {quoted(model)}; give the config that you know with '
            '--config'
        )
    return model


def _test_steps(content: Mapping[str, Any], name: str) -> Any:
    try:
        return pipeline_of(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ConfigError(
            f'test_dataloader in {name} is no data loader with a dataset: expected '
            'test_dataloader=dict(dataset=dict(pipeline=[...])); give the config that you know with --config'
        ) from error


def _checked_steps(steps: Any, key: str, name: str) -> list[dict[str, Any]]:
    """Check the steps of a pipeline, each a dict with a type."""
    if not isinstance(steps, (list, tuple)) or not all(
        isinstance(step, dict) and 'type' in step for step in steps
    ):
        raise ConfigError(
            f"expected {key}=[dict(type='LoadImage'), ...] in {name}, found {quoted(steps)}; "
            'give the config that you know with --config'
        )
    return _checked(list(steps), (key,), name)


def _spelled_metainfo(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return class names and palette of the test dataset: as the config spells them, or as its class has them."""
    dataset: Any = content.get('test_dataloader')
    for _ in range(_MOST_DEPTH):
        inner = (
            dataset.get('dataset') or dataset.get('datasets') if isinstance(dataset, dict) else None
        )
        if not inner:
            break
        dataset = inner[0] if isinstance(inner, (list, tuple)) else inner
    if not isinstance(dataset, dict):
        return {'classes': None, 'palette': None}
    known = DATASETS.module_dict.get(_bare_type(str(dataset.get('type'))))
    metainfo = dataset.get('metainfo')
    sources = (
        metainfo if isinstance(metainfo, dict) else {},
        dataset,
        getattr(known, 'METAINFO', {}),
    )
    return {
        key: next((source[key] for source in sources if isinstance(source.get(key), (list, tuple))), None)
        for key in ('classes', 'palette')
    }  # fmt: skip


def _refused(place: KeyPath, node: Any, name: str, why: str) -> ConfigError:
    return ConfigError(f'{dotted(place)}={quoted(node)} in {name} {why}; {HOW_TO_TRUST}')
