"""Configs from weights files: what is let through, and what is refused before anything is built."""

from __future__ import annotations

import copy
from pathlib import Path

import mmseg.models  # noqa: F401  (registers what the list names)
import pytest
from mmengine.config import Config
from mmseg.registry import MODELS, TASK_UTILS, TRANSFORMS

from support import untrusted
from swinseg.checkpoints.meta import parse_config_text
from swinseg.config.loading import load_config
from swinseg.config.untrusted import (
    _MODEL_TYPES,
    _TRANSFORM_TYPES,
    prediction_config,
    trusted_config,
)
from swinseg.errors import ConfigError

CONFIGS = sorted(
    path
    for path in (Path(__file__).parents[2] / 'configs').rglob('upernet*.py')
    if '_base_' not in path.parts
)
GOOD = untrusted.content(Path('data'))
# Every place of the parts that prediction reads.
READ = [
    place
    for place in untrusted.places(GOOD)
    if place[0] in ('model', 'tta_pipeline', 'test_dataloader')
    and place[:2] not in (('test_dataloader', key) for key in ('batch_size', 'num_workers'))
]
COMMAND = {'type': 'subprocess.getoutput', 'cmd': 'true'}


def refusal_of(cfg):
    with pytest.raises(ConfigError) as caught:
        prediction_config(cfg, name='the config inside x.pth')
    message = str(caught.value)
    assert '\n' not in message
    assert 'the config inside x.pth' in message
    return message


def name_of(place):
    return '.'.join(map(str, place))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_prediction_config__lets_every_shipped_config_through(path):
    cfg = load_config(path)
    kept = prediction_config(parse_config_text(cfg.pretty_text), name='x')
    assert kept.model.backbone.type == cfg.model.backbone.type
    assert 'init_cfg' not in kept.model.backbone
    assert [step.type for step in kept.test_pipeline] == [
        step.type for step in cfg.test_pipeline if step.type != 'LoadLabel'
    ]
    # Names of other datasets come from the class, or from the checkpoint.
    if cfg.test_dataloader.dataset.type == 'ADE20K':
        assert len(kept.metainfo.classes) == cfg.model.decode_head.num_classes


def test_prediction_config__keeps_the_arguments():
    kept = prediction_config(GOOD, name='x')
    assert kept.model.to_dict() == GOOD['model']
    assert set(kept) == {'model', 'test_pipeline', 'tta_pipeline', 'metainfo'}
    assert kept.metainfo.classes == ['sky', 'tree', 'road', 'car']


@pytest.mark.parametrize('kind', ['mmseg.UPerHead', 'mmseg.models.decode_heads.uper_head.UPerHead'])
def test_prediction_config__names_with_a_known_package_are_looked_up_without_it(kind):
    cfg = untrusted.put(GOOD, ('model', 'decode_head', 'type'), kind)
    assert prediction_config(cfg, name='x').model.decode_head.type == 'UPerHead'


def test_listed_types__are_registered():
    """A name that no registry has would be imported."""
    for name in _MODEL_TYPES:
        registry = TASK_UTILS if name == 'OHEMPixelSampler' else MODELS
        assert _is_registered(registry, name), name
    for name in _TRANSFORM_TYPES:
        assert _is_registered(TRANSFORMS, name), name


def _is_registered(registry, name):
    while registry is not None and name not in registry.module_dict:
        registry = registry.parent
    return registry is not None


@pytest.mark.parametrize('place', READ, ids=name_of)
def test_prediction_config__a_command_in_every_place(place):
    cfg = untrusted.put(GOOD, place, COMMAND)
    message = refusal_of(cfg)
    assert 'is an import path' in message
    assert '--trust' in message


@pytest.mark.parametrize(
    'place',
    # Data loader and dataset are never built, so their types do not matter.
    [
        place
        for place in READ
        if place[-1] == 'type' and (place[0] != 'test_dataloader' or 'pipeline' in place)
    ],
    ids=name_of,
)
@pytest.mark.parametrize(
    'kind', ['os.system', 'builtins.eval', 'mmdet.RTMDet', 'evil', 7, None, ['SwinBackbone'], {}]
)
def test_prediction_config__another_type_in_every_place(place, kind):
    assert 'type=' in refusal_of(untrusted.put(GOOD, place, kind))


@pytest.mark.parametrize(
    ('place', 'value', 'reason'),
    [
        (('custom_imports',), {'imports': ['evil']}, 'would import other modules'),
        (('custom_imports',), 'evil', 'would import other modules'),
        (('custom_imports',), {'imports': ['swinseg', 'os']}, 'would import other modules'),
        (('custom_imports',), {'imports': 7}, 'would import other modules'),
        (('_base_',), './evil.py', 'would read other files'),
        (('model', '_scope_'), 'evil', 'names another package'),
        (('train_pipeline',), [{'type': 'os.system'}], 'is an import path'),
        (('default_hooks',), {'a': {'type': 'evil.Hook'}}, 'is an import path'),
        (('model', 'neck'), {'type': 'RandomResize', 'resize_type': 'os.system'}, 'import path'),
        (('model', 'neck'), {'type': 'Resize'}, 'not one of the classes'),
        (('model', 'neck'), {'type': 'TIMMBackbone'}, 'not one of the classes'),
        (('model', 'decode_head', 'class_weight'), 'weights', 'may be a file, an address'),
        (('model', 'neck', 'file'), '/etc/passwd', 'may be a file, an address'),
        (('model', 'neck', 'file'), 'weights.pkl', 'may be a file, an address'),
        (('model', 'neck', 'file'), 'http:evil', 'may be a file, an address'),
        (('model', 'neck', 'file'), 'C:\\evil', 'may be a file, an address'),
        (('model', 'backbone', 'model_name'), 'hf-hub:evil', 'may be a file, an address'),
        (('model', 'backbone', 'model_name'), '../evil', 'may be a file, an address'),
        (('model', 'backbone', 'tag'), 'convnext_tiny.fb_in1k', 'may be a file, an address'),
        (('model', 'neck', 'backend_args'), {'backend': 'petrel'}, 'read files in other ways'),
        (('model', 'neck', 'data'), b'bytes', 'is neither text nor a number'),
        (('model', 'neck', 'data'), {1, 2}, 'is neither text nor a number'),
        (('model', 'neck', 'data'), 1j, 'is neither text nor a number'),
        (('model', 'neck', 'data'), {3: 4}, 'is no name of an argument'),
        (('model', 'backbone', 'embed_dims'), 10**9, 'is larger than any model needs'),
        (('model', 'backbone', 'depths'), [2, 2, 10**7, 2], 'is larger than any model needs'),
        (('model', 'backbone', 'embed_dims'), -(10**9), 'is larger than any model needs'),
        (('model', 'backbone', 'mlp_ratio'), 1e308, 'is larger than any model needs'),
        (('model', 'data_preprocessor', 'size'), (10**6, 10**6), 'is larger than any model needs'),
        (('tta_pipeline', 1, 'transforms', 0, 0, 'scale_factor'), 1000.0, 'than any model needs'),
        (('model',), [], r'expected model=dict\(...\)'),
        (('tta_pipeline',), 'steps', r'expected tta_pipeline='),
        (('tta_pipeline',), [[]], r'expected tta_pipeline='),
        (('tta_pipeline',), [{'scale': 3}], r'expected tta_pipeline='),
        (('test_dataloader',), [1], 'is no data loader with a dataset'),
        (('test_dataloader', 'dataset'), 'a', 'is no data loader with a dataset'),
        (('extra',), [[0] * 400] * 400, 'has more than 100,000 entries'),
    ],
)
def test_prediction_config__refuses(place, value, reason):
    cfg = copy.deepcopy(GOOD)
    cfg['model']['neck'] = {'type': 'FPN'}
    *above, last = place
    node = cfg
    for key in above:
        node = node[key]
    node[last] = value
    with pytest.raises(ConfigError, match=reason):
        prediction_config(cfg, name='x')


def test_prediction_config__nested_too_deeply():
    nested = 1
    for _ in range(200):
        nested = [nested]
    assert 'nested more than' in refusal_of({**GOOD, 'extra': nested})


@pytest.mark.parametrize('imports', [{'imports': ['swinseg']}, {'imports': 'mmseg'}, [], None])
def test_prediction_config__imports_of_what_is_imported_anyway(imports):
    prediction_config({**GOOD, 'custom_imports': imports}, name='x')


def test_trusted_config__imports_and_keeps_everything(tmp_path, monkeypatch):
    (tmp_path / 'of_my_own.py').write_text('loaded = True\n')
    monkeypatch.syspath_prepend(tmp_path)
    cfg = trusted_config({**GOOD, 'custom_imports': {'imports': ['of_my_own']}}, name='x')
    assert isinstance(cfg, Config)
    assert set(cfg) == {*GOOD, 'custom_imports'}


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'model': [1]}, r'expected model=dict\(\.\.\.\) in x, found \[1\]'),
        ({'model': None}, r'expected model=dict\(\.\.\.\) in x, found None'),
        ({'test_dataloader': 5}, 'test_dataloader in x is no data loader with a dataset'),
        ({'test_dataloader': {'dataset': 3}}, 'test_dataloader in x is no data loader with a data'),
    ],
)
@pytest.mark.parametrize('read', [prediction_config, trusted_config])
def test_config__parts_that_are_none(read, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read({**GOOD, **change}, name='x')


@pytest.mark.parametrize(
    'change', [{'custom_imports': {'imports': ['nowhere_to_be_found']}}, {'filename': 'x'}]
)
def test_trusted_config__that_cannot_be_used(change):
    with pytest.raises(ConfigError, match='x cannot be used: '):
        trusted_config({**GOOD, **change}, name='x')
