"""Configs by name: which file is taken, what a copy holds, and what is said about a name that is none."""

from pathlib import Path

import pytest

from swinseg.config import shipped
from swinseg.config.loading import load_config
from swinseg.config.shipped import copy_shipped, shipped_names, shipped_path, shipped_summary
from swinseg.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / 'configs'
T = 'upernet_swin_t_ade20k'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_names__are_all_leaves():
    leaves = [*CONFIGS.glob('*.py'), *CONFIGS.glob('ablations/*.py'), *CONFIGS.glob('recipes/*.py')]
    assert sorted(shipped_names()) == sorted(
        path.relative_to(CONFIGS).with_suffix('').as_posix() for path in leaves
    )


@pytest.mark.parametrize('name', [T, f'{T}.py', 'ablations/upernet_swin_t_no_shift'])
def test_load_config__by_name(name):
    cfg = load_config(name)
    assert Path(cfg.filename) == CONFIGS / f'{name.removesuffix(".py")}.py'


@pytest.mark.parametrize('given', [T, f'{T}.py'])
def test_load_config__a_file_comes_first(tmp_path, given):
    (tmp_path / f'{T}.py').write_text('published_miou = 1\n')
    assert load_config(given).published_miou == 1


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('upernet_swin_t_ade', 'did you mean upernet_swin_t_ade20k'),
        ('upernet_swin_t_no_shift', 'did you mean ablations/upernet_swin_t_no_shift'),
        ('configs/upernet_swin_t_ade20k.py', 'did you mean upernet_swin_t_ade20k '),
        ('_base_/runtime', '_base_/runtime'),
    ],
)
def test_load_config__names_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match='there is no config file') as caught:
        load_config(name)
    assert nearest in str(caught.value)


def test_load_config__says_the_nearest_as_it_was_asked_for(monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    with pytest.raises(ConfigError, match='did you mean upernet_swin_t_camvid'):
        load_config('upernet_swin_t_cmvid')
    with pytest.raises(ConfigError, match=r'did you mean configs/upernet_swin_t_camvid\.py'):
        load_config('upernet_swin_t_cmvid.py')


def test_load_config__an_install_without_configs_says_no_more(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, '_FOLDERS', (tmp_path,))
    with pytest.raises(ConfigError, match=f'there is no config file {T}$'):
        load_config(T)
    with pytest.raises(ConfigError, match='install swinseg anew'):
        shipped_names()


def test_summary__is_a_sentence():
    assert shipped_summary(T) == 'Swin-T, ImageNet-1K weights, 512 x 512.'
    for name in shipped_names():
        assert shipped_summary(name).endswith(('.', ':')), name


@pytest.mark.parametrize('name', shipped_names())
def test_copy__is_whole(tmp_path, name):
    copies = copy_shipped(name, tmp_path / 'mine')
    assert copies[0] == tmp_path / 'mine' / f'{name}.py'
    copied, ours = load_config(copies[0]), load_config(CONFIGS / f'{name}.py')
    assert copied.to_dict() == ours.to_dict()
    assert copy_shipped(name, tmp_path / 'mine') == copies


def test_copy__keeps_what_was_edited(tmp_path):
    base = tmp_path / '_base_' / 'runtime.py'
    base.parent.mkdir()
    base.write_text('log_level = "ERROR"\n')
    with pytest.raises(ConfigError, match=r'_base_/runtime\.py is there already'):
        copy_shipped(T, tmp_path)
    assert [p for p in tmp_path.rglob('*') if p.is_file()] == [base]
    copy_shipped(T, tmp_path, overwrite=True)
    assert base.read_bytes() == (CONFIGS / '_base_' / 'runtime.py').read_bytes()


@pytest.mark.parametrize('name', ['../configs/upernet_swin_t_ade20k', '', 'x', 'upernet_swin_t'])
def test_path__of_no_name(name):
    assert shipped_path(name) is None
