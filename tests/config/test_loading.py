"""Reading configs and options, and what is said when that fails."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from swinseg.config.loading import ConfigError, load_config


def test_load_config__is_what_mmengine_reads(write_tiny_config):
    path = write_tiny_config()
    expected = Config.fromfile(path).to_dict()
    del expected['tta_resizes']  # refers to another variable, and is in use nowhere here
    found = load_config(path).to_dict()
    assert {key: found[key] for key in expected} == expected


def test_load_config__deletes_where_there_is_nothing_to_delete(write_tiny_config):
    extra = """
randomness = dict(_delete_=True, seed=1)
custom_hooks = [dict(_delete_=True, type='EMAHook')]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.1))
"""
    cfg = load_config(write_tiny_config(extra=extra))
    assert cfg.randomness == dict(seed=1)
    assert cfg.custom_hooks == [dict(type='EMAHook')]
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.1)


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


@pytest.mark.parametrize(
    'content',
    ["custom_imports = dict(imports=['{0}'])", 'from {0} import Thing\nmodel = dict(type=Thing)'],
    ids=['custom_imports', 'lazy'],
)
def test_load_config__says_how_a_module_is_found(tmp_path, monkeypatch, content):
    """One beside the config, one of a package above it, one that is nowhere; and the first on the path."""
    folder = tmp_path / 'my configs'
    (tmp_path / 'my_package').mkdir()
    (tmp_path / 'my_package' / 'parts.py').write_text('class Thing:\n    pass')
    folder.mkdir()
    name = f'beside_{content[:4]}'
    (folder / f'{name}.py').write_text('class Thing:\n    pass')
    for module, where in ((name, folder), ('my_package.parts', tmp_path)):
        (folder / 'config.py').write_text(content.format(module))
        with pytest.raises(
            ConfigError, match=rf'{module}.*is in {where}, .* PYTHONPATH=.?{where}.? before'
        ):
            load_config(folder / 'config.py')
    (folder / 'config.py').write_text(content.format('nowhere'))
    with pytest.raises(ConfigError, match=r'there is no module nowhere: install it, or') as caught:
        load_config(folder / 'config.py')
    assert '\n' not in str(caught.value)
    monkeypatch.syspath_prepend(folder)
    (folder / 'config.py').write_text(content.format(name))
    load_config(folder / 'config.py')


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
