from __future__ import annotations

import copy
from pathlib import Path

import pytest

from swinseg.config.loading import load_config
from swinseg.config.pipelines import pipeline_of
from swinseg.errors import CheckpointError
from swinseg.hub.image_processor import from_image_processor, to_image_processor
from swinseg.hub.upernet import from_upernet_config, to_upernet_config

transformers = pytest.importorskip('transformers')

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_to_upernet_config__second_version_has_output_norms_that_transformers_has_not():
    model = load_config(CONFIGS / 'upernet_swinv2_t_w8_ade20k.py').to_dict()['model']
    classes = [f'class {index}' for index in range(150)]
    with pytest.raises(CheckpointError, match=r"found model.backbone.type='SwinV2Backbone'"):
        to_upernet_config(model, classes)


def test_to_upernet_config__transformers_has_no_overlapping_classes():
    model = load_config(CONFIGS / 'upernet_swin_t_multilabel.py').to_dict()['model']
    classes = [f'class {index}' for index in range(model['decode_head']['num_classes'])]
    with pytest.raises(CheckpointError, match=r'needs False, found model\.multi_label=True'):
        to_upernet_config(model, classes)


@pytest.mark.parametrize(
    'path',
    sorted(set(CONFIGS.glob('upernet_swin_*.py')) - {CONFIGS / 'upernet_swin_t_multilabel.py'}),
    ids=lambda path: path.stem,
)
def test_to_upernet_config__every_shipped_config(path):
    model = load_config(path).to_dict()['model']
    classes = [f'class {index}' for index in range(model['decode_head']['num_classes'])]
    fields, notes = to_upernet_config(model, classes)
    assert notes == []
    assert fields['use_auxiliary_head'] == (model.get('auxiliary_head') is not None)
    # transformers reads the fields as they are meant.
    config = transformers.UperNetConfig(**copy.deepcopy(fields))
    backbone, wanted = config.backbone_config, model['backbone']
    assert backbone.embed_dim == wanted['embed_dims']
    assert list(backbone.depths) == list(wanted['depths'])
    assert list(backbone.num_heads) == list(wanted['num_heads'])
    assert backbone.window_size == wanted['window_size']
    assert config.num_labels == len(classes)
    assert config.hidden_size == model['decode_head']['channels']
    # There and back again.
    back, names = from_upernet_config(fields, name='config.json')
    assert names == classes
    assert to_upernet_config(back, names) == (fields, [])


def test_from_upernet_config__what_transformers_leaves_out_is_its_default():
    """An older or a shorter file has but the fields that differ from the defaults."""
    backbone = {'model_type': 'swin', 'out_indices': [1, 2, 3, 4]}
    model, classes = from_upernet_config(
        {'model_type': 'upernet', 'backbone_config': backbone}, name='config.json'
    )
    theirs = transformers.UperNetConfig(
        backbone_config=transformers.SwinConfig(out_indices=[1, 2, 3, 4])
    )
    assert classes == list(theirs.id2label.values())
    assert model['backbone']['depths'] == list(theirs.backbone_config.depths)
    assert model['backbone']['window_size'] == theirs.backbone_config.window_size
    assert model['decode_head']['channels'] == theirs.hidden_size
    assert model['auxiliary_head']['channels'] == theirs.auxiliary_channels
    assert model['auxiliary_head']['num_convs'] == theirs.auxiliary_num_convs


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('upernet_*.py')), ids=lambda path: path.stem)
def test_to_image_processor__there_and_back(path):
    cfg = load_config(path).to_dict()
    preprocessor = cfg['model']['data_preprocessor']
    fields, is_blue_first, _ = to_image_processor(
        preprocessor, pipeline_of(cfg), reduce_labels=True
    )
    assert not is_blue_first
    processor = transformers.SegformerImageProcessor(**fields)
    assert processor.do_reduce_labels
    back, steps = from_image_processor(processor.to_dict(), name='preprocessor_config.json')
    assert back['mean'] == pytest.approx(preprocessor['mean'])
    assert back['std'] == pytest.approx(preprocessor['std'])
    wanted = [step for step in pipeline_of(cfg) if step['type'] == 'Resize']
    found = [step for step in steps if step['type'] == 'Resize']
    assert [tuple(step['scale']) for step in found] == [tuple(step['scale']) for step in wanted]
    assert [step['keep_ratio'] for step in found] == [step['keep_ratio'] for step in wanted]
