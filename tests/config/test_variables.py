"""Variables of configs that change nothing, and those that do."""

from __future__ import annotations

import json

import pytest

from swinseg.config.loading import load_config
from swinseg.config.variables import check_variables
from swinseg.errors import ConfigError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
BASE = """
root = '/data'
factor = 2
pipe = [dict(type='LoadImage')]
norm_cfg = dict(type='BN')
loader = dict(dataset=dict(data_root=root, pipeline=pipe))
train_dataloader = loader
model = dict(decode_head=dict(norm_cfg=norm_cfg, channels=8 * factor))
"""


@pytest.mark.parametrize(
    ('extra', 'sentence'),
    [
        ("train_pipeline = [dict(type='LoadImage')]",
         r'train_pipeline in .*tiny\.py is set and not used there, so it changes nothing: set '
         r'train_dataloader\.dataset\.pipeline, as in train_dataloader = dict\(dataset=dict\(pipeline=train_pip'),
        ("test_pipeline = [dict(type='LoadImage')]",
         r'set val_dataloader\.dataset\.pipeline and test_dataloader\.dataset\.pipeline'),
        ("norm_cfg = dict(type='GN', num_groups=8)",
         r'set model\.decode_head\.norm_cfg and model\.auxiliary_head\.norm_cfg, as in model = dict\('),
        ("norm_cfg = dict(type='GN', num_groups=8)\nmodel = dict(decode_head=dict(norm_cfg=norm_cfg))\n"
         "data_root = '/elsewhere'",
         r'data_root in .*: set train_dataloader\.dataset\.data_root, val_dataloader\.dataset\.data_root and '),
        # Read by nothing, though other configs have them.
        ('crop_size = (8, 8)', r'set model\.data_preprocessor\.size and train_dataloader\.dataset\.pipeline\.R'),
        ("dataset_type = 'CityscapesDataset'", r'set train_dataloader\.dataset\.type, '),
        ('img_ratios = [1.0]', r'set tta_pipeline\.TestTimeAug\.transforms'),
        ("vis_backends = [dict(type='TensorboardVisBackend')]", r'set visualizer\.vis_backends, as in vis'),
        ('data_preprocessor = dict(size=(8, 8))', r'set model\.data_preprocessor, as in model = dict'),
        # Of no custom, but used by a base.
        ("metainfo = dict(classes=('a', 'b'))", r'set train_dataloader\.dataset\.metainfo, '),
    ],
)  # fmt: skip
def test_load_config__a_variable_that_changes_nothing(write_tiny_config, extra, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(write_tiny_config(extra=extra))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'extra',
    [
        'my_variable = 3',
        "norm_cfg = dict(type='BN', requires_grad=True)",  # as it was
        "data_root = '/x'\ntrain_dataloader = dict(dataset=dict(data_root=data_root))",
        'train_pipeline = [*{{_base_.train_pipeline}}]\n'
        'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))',
        "tta_pipeline = [dict(type='LoadImage')]",
        # Written twice.
        'vis_backends = []\nvisualizer = dict(vis_backends=[])',
    ],
)
def test_load_config__a_variable_that_may_be_there(write_tiny_config, extra):
    load_config(write_tiny_config(extra=extra))


@pytest.mark.parametrize(
    ('option', 'sentence'),
    [
        ('train_pipeline.RandomCrop.crop_size=(8,8)',
         r'train_pipeline\.RandomCrop\.crop_size would change nothing, for train_pipeline itself is not read: set '
         r'train_dataloader\.dataset\.pipeline\.RandomCrop\.crop_size$'),
        ('norm_cfg.type=GN', r'set model\.decode_head\.norm_cfg\.type and model\.auxiliary_head\.norm_cfg\.type$'),
        ('crop_size=(8,8)', r'set model\.data_preprocessor\.size and '),
        ('metainfo.classes=[a]', r'set train_dataloader\.dataset\.metainfo\.classes, '),
        ('width=8', r'set the keys that the config makes of it$'),
    ],
)  # fmt: skip
def test_load_config__an_option_that_changes_nothing(write_tiny_config, option, sentence):
    path = write_tiny_config(extra='width = 4\nmodel = dict(decode_head=dict(channels=4 * width))')
    with pytest.raises(ConfigError, match=sentence):
        load_config(path, [option])


def test_load_config__an_option_for_a_variable_that_own_code_may_read(write_tiny_config):
    cfg = load_config(write_tiny_config(extra='mine = dict(a=1)'), ['mine.a=2', 'data_root=/x'])
    assert cfg.mine.a == 2
    assert {cfg[loader].dataset.data_root for loader in LOADERS} == {'/x'}


def test_check_variables__of_a_file_in_the_middle(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'middle.py').write_text("_base_ = './base.py'\npipe = [dict(type='LoadLabel')]")
    (tmp_path / 'leaf.py').write_text("_base_ = ['./middle.py']\nother = 1")
    with pytest.raises(
        ConfigError, match=r'pipe in .*middle\.py .* set train_dataloader\.dataset\.pipeline, as in'
    ):
        check_variables(tmp_path / 'leaf.py')


def test_check_variables__a_number_is_told_by_its_name_alone(tmp_path):
    """A value such as 2 may be anywhere; that a base has used the name is known, but not where it went."""
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'leaf.py').write_text("_base_ = './base.py'\nfactor = 4")
    with pytest.raises(
        ConfigError, match=r'factor in .*: set the keys that .*base\.py makes of it'
    ):
        check_variables(tmp_path / 'leaf.py')


def test_check_variables__of_lazy_configs(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    start = 'from mmengine.config import read_base\nwith read_base():\n    from .base import *\n'
    (tmp_path / 'leaf.py').write_text(start + "norm_cfg = dict(type='GN')")
    with pytest.raises(ConfigError, match=r'norm_cfg in .*: set model\.decode_head\.norm_cfg'):
        check_variables(tmp_path / 'leaf.py')
    used = "norm_cfg = dict(type='GN')\nmodel.update(dict(decode_head=dict(norm_cfg=norm_cfg)))"
    (tmp_path / 'leaf.py').write_text(start + used)
    check_variables(tmp_path / 'leaf.py')


def test_check_variables__of_a_config_that_a_training_has_written(write_tiny_config, tmp_path):
    """All variables stand in it, with the values that they had before children changed what is read."""
    cfg = load_config(write_tiny_config())
    assert cfg.data_preprocessor != cfg.model.data_preprocessor
    cfg.dump(str(tmp_path / 'written.py'))
    check_variables(tmp_path / 'written.py')


def test_check_variables__of_json(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    content = {'_base_': './base.py', 'norm_cfg': {'type': 'GN'}}
    (tmp_path / 'leaf.json').write_text(json.dumps(content))
    with pytest.raises(
        ConfigError, match=r'norm_cfg in .*leaf\.json .*: set model\.decode_head\.norm_cfg'
    ):
        check_variables(tmp_path / 'leaf.json')
    content['model'] = {'decode_head': {'norm_cfg': {'type': 'GN'}}}
    (tmp_path / 'leaf.json').write_text(json.dumps(content))
    check_variables(tmp_path / 'leaf.json')
