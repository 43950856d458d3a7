"""References of a config to its variables, after inheritance and options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from swinseg.config.loading import load_config
from swinseg.config.references import fill_in_variables, referred_variables
from swinseg.errors import ArchitectureError, ConfigError

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('${size}', (8, 6)),
        ('${size} * 0.5', (4, 3)),
        ('${size}*1.3', (10, 7)),
        ('${rate} * 2', 0.5),
        ('${steps}', [dict(scale=(4, 3)), dict(scale=(8, 6))]),
        ([('${rate}', 1), dict(a='${size}')], [(0.25, 1), dict(a=(8, 6))]),
        ('a ${size}', 'a ${size}'),  # only as a whole
        ('$size', '$size'),
    ],
)
def test_fill_in_variables__values(value, expected):
    cfg = Config(
        dict(size=(8, 6), rate=0.25, steps=[dict(scale='${size} * 0.5'), dict(scale='${size}')], use=value)
    )  # fmt: skip
    fill_in_variables(cfg)
    assert cfg.use == expected
    assert type(cfg.use) is type(expected)
    assert [step.scale for step in cfg.steps] == [(4, 3), (8, 6)]


def test_fill_in_variables__each_place_has_its_own():
    cfg = Config(dict(part=dict(a=1), first='${part}', second='${part}'))
    fill_in_variables(cfg)
    cfg.first.a = 2
    assert cfg.second.a == cfg.part.a == 1


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (dict(a=dict(b=['${crop_siz}']), crop_size=1),
         r"a\.b\.0 is '\$\{crop_siz\}', but .* no crop_siz; did you mean crop_size\?"),
        (dict(a='${zyzzyva}'), r'the config has no zyzzyva: add a line zyzzyva = '),
        (dict(a='${b}', b='${a}'), r'the variable . refers to itself'),
        (dict(a='${b} * 2', b='text'), r"a is '\$\{b\} \* 2', but 'text' is no number; leave the factor out"),
        (dict(a='${b} * 2', b=True), r'is no number'),
    ],
)  # fmt: skip
def test_fill_in_variables__says_what_is_wrong(content, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        fill_in_variables(Config(content))
    assert '\n' not in str(caught.value)


def test_referred_variables__at_any_depth_and_by_way_of_others():
    content = dict(a=['${b}', (dict(c='${d} * 2'),)], b=['${e}'], e='${b}', unread='${f}', f=1)
    assert referred_variables(content, within=('a', 'gone')) == {'b', 'd', 'e'}


def _sizes(cfg):
    crop = cfg.train_dataloader.dataset.pipeline[2]
    resize = cfg.test_dataloader.dataset.pipeline[1]
    first_of_tta = cfg.tta_pipeline[1].transforms[0][0]
    return (
        crop.crop_size,
        cfg.model.data_preprocessor.size,
        crop.scale,
        resize.scale,
        first_of_tta.scale,
    )


@pytest.mark.parametrize('by', ['option', 'file'])
def test_load_config__a_size_reaches_all_that_has_it(tmp_path, by):
    path, options = (
        CONFIGS / 'upernet_swin_t_ade20k.py',
        ['crop_size=(320,320)', 'image_scale=(1280,320)'],
    )
    if by == 'file':
        path, options = tmp_path / 'leaf.py', []
        path.write_text(
            f"_base_ = '{CONFIGS / 'upernet_swin_t_ade20k.py'}'\n"
            'crop_size = (320, 320)\nimage_scale = (1280, 320)\n'
        )
    cfg = load_config(path, options)
    assert _sizes(cfg) == ((320, 320), (320, 320), (1280, 320), (1280, 320), (640, 160))
    assert not referred_variables(cfg.to_dict(), within=cfg)


def test_load_config__an_option_that_goes_deeper_comes_before_the_variable():
    options = ['train_dataloader.dataset.pipeline.RandomResizeCrop.crop_size=(64,64)']
    cfg = load_config(CONFIGS / 'upernet_swin_t_ade20k.py', options)
    assert _sizes(cfg)[:2] == ((64, 64), (512, 512))


@pytest.mark.parametrize(
    'line', ['crop_size = (64, 64)', 'image_scale = (64, 64)', 'tta_resizes = []']
)
def test_load_config__a_variable_that_nothing_refers_to_any_more(write_tiny_config, line):
    """The pipelines of the tiny config have sizes of their own."""
    name = line.partition(' ')[0]
    with pytest.raises(
        ConfigError, match=rf'{name} in .* is set and not used there, so it changes'
    ):
        load_config(write_tiny_config(extra=line))
    with pytest.raises(ConfigError, match=rf'--cfg-options {name} would change nothing'):
        load_config(write_tiny_config(), [line.replace(' ', '')])


def test_load_config__what_a_training_wrote_has_the_values(tmp_path):
    cfg = load_config(CONFIGS / 'upernet_swin_t_mini.py', ['crop_size=(64,64)'])
    cfg.dump(str(tmp_path / 'written.py'))
    assert load_config(tmp_path / 'written.py').to_dict() == cfg.to_dict()
    # Nothing refers to the variable any more.
    with pytest.raises(ConfigError, match=r'crop_size would change nothing'):
        load_config(tmp_path / 'written.py', ['crop_size=(32,32)'])


def test_load_config__what_it_returns_mmengine_builds_and_what_mmengine_reads_is_refused():
    path = CONFIGS / 'upernet_swin_t_mini.py'
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        assert MODELS.build(load_config(path).model).data_preprocessor.size == (128, 128)
        with pytest.raises(
            ArchitectureError, match=r'size of data_preprocessor .* found .*crop_size'
        ):
            MODELS.build(Config.fromfile(path).model)
