"""Reading configs and options, and what is said when that fails."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from swinseg.engine.config import ConfigError, load_config, parse_options


def test_load_config__is_what_mmengine_reads(write_tiny_config):
    path = write_tiny_config()
    assert load_config(path).to_dict() == Config.fromfile(path).to_dict()


def test_load_config__names_files_that_are_nearly_called_so(write_tiny_config):
    path = write_tiny_config()
    with pytest.raises(ConfigError) as caught:
        load_config(path.with_name('tinny.py'))
    assert f'no config file {path.with_name("tinny.py")}; did you mean {path}' in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ('a = 1\nmodel = dict(\n', r'broken\.py, line 2: .*not valid Python'),
        ('a = 1\n\nmodel = dict(type=undefined)\n', r'broken\.py, line 3: .*NameError'),
        ("_base_ = './no_such_base.py'\n", r'broken\.py: .*no_such_base\.py'),
        ("_base_ = ['./one.py', './two.py']\n", r"Duplicate keys: \{'same'\}"),
        ("custom_imports = dict(imports=['no_such_module'])\n", r'ImportError.*no_such_module'),
    ],
)
def test_load_config__says_where_a_file_fails(tmp_path, content, expected):
    (tmp_path / 'broken.py').write_text(content)
    (tmp_path / 'one.py').write_text('same = 1')
    (tmp_path / 'two.py').write_text('same = 2')
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(tmp_path / 'broken.py')
    assert '\n' not in str(caught.value)


def test_load_config__names_the_base_file_that_fails(tmp_path):
    (tmp_path / 'base.py').write_text('x = 1\ny = 1 / 0\n')
    (tmp_path / 'leaf.py').write_text("_base_ = './base.py'\n")
    with pytest.raises(ConfigError, match=r'base\.py, line 2: .*ZeroDivisionError'):
        load_config(tmp_path / 'leaf.py')


def test_load_config__refuses_what_is_no_config(tmp_path):
    (tmp_path / 'config.txt').write_text('model = 1')
    with pytest.raises(ConfigError, match=r'a config is a \.py file'):
        load_config(tmp_path / 'config.txt')
    with pytest.raises(ConfigError, match='no config file'):
        load_config(tmp_path)


def test_parse_options__values():
    options = ['a.b=1', 'c=(2,3)', 'd=[x,y]', 'e=None', 'f=a=b', 'g=True', 'h=1e-3']
    assert parse_options(options) == {
        'a.b': 1, 'c': (2, 3), 'd': ['x', 'y'], 'e': None, 'f': 'a=b', 'g': True, 'h': 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize('option', ['model.backbone.window_size', '=3', ''])
def test_parse_options__needs_pairs(option):
    with pytest.raises(ConfigError, match='takes pairs'):
        parse_options([option])


def test_load_config__options(write_tiny_config):
    path = write_tiny_config()
    cfg = load_config(
        path,
        [
            'model.backbone.window_size=7',
            'train_dataloader.dataset.pipeline.3.crop_size=(32,32)',
            'model.backbone.with_cp=True',  # not in the file, but SwinBackbone takes it
            'load_from=weights.pth',
        ],
    )
    assert cfg.model.backbone.window_size == 7
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (32, 32)
    assert cfg.model.backbone.with_cp is True
    assert cfg.load_from == 'weights.pth'
    assert load_config(path, {'model.backbone.window_size': 7}).model.backbone.window_size == 7


def test_load_config__option_data_root_reaches_every_dataset(write_tiny_config):
    cfg = load_config(write_tiny_config(), ['data_root=/elsewhere'])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/elsewhere'


def test_load_config__option_data_root_reaches_wrapped_datasets(write_tiny_config):
    extra = """
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2,
                                     dataset=dict(type='ADE20K', data_root='here')))
model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
"""
    cfg = load_config(write_tiny_config(extra=extra), ['data_root=/elsewhere'])
    assert cfg.train_dataloader.dataset.dataset.data_root == '/elsewhere'


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        (
            'model.backbone.windw_size=7',
            r'has no windw_size; did you mean model\.backbone\.window_size\?',
        ),
        ('modle.backbone.window_size=7', r'the config has no modle; did you mean model\?'),
        ('model.backbon.window_size=7', r'did you mean model\.backbone\?'),
        ('train_dataloader.batchsize=7', r'did you mean train_dataloader\.batch_size\?'),
        (
            'train_dataloader.dataset.pipeline.9.crop_size=7',
            r'list of 6, so 9 must be a number from 0 to 5',
        ),
        ('train_dataloader.dataset.pipeline.x=7', r'x must be a number'),
        ('data_root.x=7', r'data_root is .* and contains no x'),
        ('data_rot=/data', r'did you mean data_root\?'),
        ('zyzzyva=1', r'the config has no zyzzyva$'),
    ],
)
def test_load_config__option_that_leads_nowhere(write_tiny_config, option, expected):
    with pytest.raises(ConfigError, match=expected):
        load_config(write_tiny_config(), [option])
