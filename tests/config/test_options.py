"""Options of the command line: their values, and where their keys lead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import DictAction

from swinseg.config.loading import load_config
from swinseg.config.options import parse_options
from swinseg.errors import ConfigError


def test_parse_options__values():
    options = ['a.b=1', 'c=(2,3)', 'd=[x,y]', 'e=None', 'f=a=b', 'g=True', 'h=1e-3']
    assert parse_options(options) == {
        'a.b': 1, 'c': (2, 3), 'd': ['x', 'y'], 'e': None, 'f': 'a=b', 'g': True, 'h': 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        # Texts stay as they are.
        ('/data/my cam', '/data/my cam'),
        ('Road surface', 'Road surface'),
        ('[Road surface, Sky]', ['Road surface', 'Sky']),
        ('Road surface,Sky', ['Road surface', 'Sky']),
        (r'C:\new data', r'C:\new data'),
        ('/data/cam (old)', '/data/cam (old)'),
        ('/data/cam (old', '/data/cam (old'),
        ("don't.png", "don't.png"),
        ('{:03}.png', '{:03}.png'),
        ('f(1,2)', 'f(1,2)'),
        ('(a)_(b)', '(a)_(b)'),
        ('none', 'none'),
        ("'1'", '1'),
        ("'a, (b'", 'a, (b'),
        ('["a, (b", c]', ['a, (b', 'c']),
        ('', ''),
        # Lists in all spellings, with and without spaces.
        ('[1.0, 2.0] ', [1.0, 2.0]),
        ('1.0, 2.0', [1.0, 2.0]),
        ('[1,2],[3,4]', [[1, 2], [3, 4]]),
        ('[(1, 2), [a, b], c]', [(1, 2), ['a', 'b'], 'c']),
        ('(1)', (1,)),
        ('()', ()),
        ('[1, 2,]', [1, 2]),
        ('[true, False, None]', [True, False, None]),
        # Dicts as Python writes them, and as configs do.
        ("{'type': 'GN', 'num_groups': 8}", {'type': 'GN', 'num_groups': 8}),
        ("dict(type='GN', num_groups=8)", {'type': 'GN', 'num_groups': 8}),
        ('{type: GN, a: {b: [1, (2, 3)]}}', {'type': 'GN', 'a': {'b': [1, (2, 3)]}}),
        ('{0: 1, 255: 0}', {0: 1, 255: 0}),
        ('[dict(type=LoadImage), dict(url=http://a.b/c?d=e)]',
         [{'type': 'LoadImage'}, {'url': 'http://a.b/c?d=e'}]),
        ('{}', {}),
        ('dict()', {}),
    ],
)  # fmt: skip
def test_parse_options__literals_and_texts(value, expected):
    (found,) = parse_options([f'key={value}']).values()
    assert found == expected
    assert type(found) is type(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.integers(-99, 99).map(str) | st.sampled_from(['1e-3', 'x', 'a/b.c', 'True', 'None', 'a=b', 'a:b']),
        lambda inner: st.tuples(
            st.sampled_from(['()', '[]']), st.lists(inner, max_size=3).map(','.join)
        ).map(lambda parts: f'{parts[0][0]}{parts[1]}{parts[0][1]}'),
        max_leaves=8,
    )
)  # fmt: skip
def test_parse_options__what_mmengine_understands_means_the_same(value):
    assert repr(parse_options([f'key={value}'])['key']) == repr(DictAction._parse_iterable(value))


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('(1,2', r'key: a bracket is not closed in \(1,2; .* in quotation marks'),
        ('1,2)', r'a bracket is not closed or not opened in 1,2\)'),
        ('[1,(2]', 'a bracket is not closed'),
        ('[(1],2)', 'a bracket is not closed'),
        ('a,b(c', 'a bracket is not closed'),
        ('{a}', r"expected key:value in a dict, found 'a'"),
        ('{[1]: 2}', r'expected key:value in a dict'),
        ('dict(3)', r"expected key=value in a dict, found '3'"),
        ('[' * 60 + ']' * 60, r'nested more than 50 times'),
    ],
)
def test_parse_options__says_what_is_wrong_with_a_value(value, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        parse_options([f'key={value}'])
    assert '\n' not in str(caught.value)


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
            'train_dataloader.dataset.pipeline.RandomCrop.crop_size=(32,32)',
            'model.backbone.with_cp=True',  # not in the file, but SwinBackbone takes it
            'load_from=weights.pth',
        ],
    )
    assert cfg.model.backbone.window_size == 7
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (32, 32)
    assert cfg.model.backbone.with_cp is True
    assert cfg.load_from == 'weights.pth'
    assert load_config(path, {'model.backbone.window_size': 7}).model.backbone.window_size == 7


@pytest.mark.parametrize(
    ('options', 'place', 'expected'),
    [
        # What docs/errors.md advises, where the config says nothing of it or None.
        (['optim_wrapper.clip_grad.max_norm=1.0'], 'optim_wrapper.clip_grad', {'max_norm': 1.0}),
        (['optim_wrapper.clip_grad=None', 'optim_wrapper.clip_grad.max_norm=1.0'],
         'optim_wrapper.clip_grad', {'max_norm': 1.0}),
        (['optim_wrapper.clip_grad=dict(max_norm=1.0)', 'optim_wrapper.clip_grad.norm_type=1'],
         'optim_wrapper.clip_grad', {'max_norm': 1.0, 'norm_type': 1}),
        (['load_from=None', 'randomness.seed=3'], 'randomness', {'seed': 3}),
        (['model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint=/my weights/a.pth'],
         'model.backbone.init_cfg', {'type': 'Pretrained', 'checkpoint': '/my weights/a.pth'}),
        (["model.decode_head.norm_cfg={'type': 'GN', 'num_groups': 8}"],
         'model.decode_head.norm_cfg', {'type': 'GN', 'requires_grad': True, 'num_groups': 8}),
        (['optim_wrapper.optimizer._delete_=True', 'optim_wrapper.optimizer.momentum=0.9',
          'optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.lr=0.1'],
         'optim_wrapper.optimizer', {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}),
    ],
)  # fmt: skip
def test_load_config__option_begins_what_its_class_takes(
    write_tiny_config, options, place, expected
):
    found = load_config(write_tiny_config(extra='optim_wrapper = dict(clip_grad=None)'), options)
    for part in place.split('.'):
        found = found[part]
    assert found == expected


def test_load_config__options_name_items_as_the_config_has_them(write_tiny_config):
    cfg = load_config(
        write_tiny_config(),
        [
            'param_scheduler.PolyLR.power=2.0',
            'tta_pipeline.TestTimeAug.transforms.0.1.keep_ratio=False',
            'model.backbone.depths.2=3',
        ],
    )
    assert cfg.param_scheduler[1].power == 2.0
    assert [step.keep_ratio for step in cfg.tta_pipeline[1].transforms[0]] == [True, False]
    assert cfg.model.backbone.depths == [1, 1, 3, 1]


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
            r'pipeline is a list of 6 without an item 9; it has LoadImage, LoadLabel, RandomResize, ',
        ),
        ('train_dataloader.dataset.pipeline.x=7', r'a list of 6 without an item x; it has'),
        (
            'train_dataloader.dataset.pipeline.3.crop_size=7',
            r'pipeline\.3\.crop_size: items of lists are called by their types, not by numbers: write '
            r'train_dataloader\.dataset\.pipeline\.RandomCrop\.crop_size for train',
        ),
        (
            'train_dataloader.dataset.pipeline.RandomCrp.crop_size=7',
            r'without an item RandomCrp; .*; did you mean train_dataloader\.dataset\.pipeline\.RandomCrop\?',
        ),
        (
            'train_dataloader.dataset.pipeline.RandomCrop.cropsize=7',
            r'did you mean train_dataloader\.dataset\.pipeline\.RandomCrop\.crop_size\?',
        ),
        (
            'tta_pipeline.1.transforms.0.1.scale=(8,8)',
            r'write tta_pipeline\.TestTimeAug\.transforms\.0\.1\.scale for tta',
        ),
        (
            'tta_pipeline.TestTimeAug.transforms.0.Resize.keep_ratio=False',
            r'transforms\.0 has 2 items of type Resize: write tta_pipeline\.TestTimeAug\.transforms\.0\.0 or tta',
        ),
        ('data_root.x=7', r'data_root is .* and contains no x'),
        ('optim_wrapper.clip_gard.max_norm=1', r'did you mean optim_wrapper\.clip_grad\?'),
        (
            'optim_wrapper.clip_grad.max_nrom=1',
            r'max_nrom; did you mean optim_wrapper\.clip_grad\.max_norm\?',
        ),
        ('model.backbone.windw.x=1', r'has no windw'),
        (
            'model.decode_head.pool_scales.0=2',
            r'pool_scales is a tuple, whose items stay; give all',
        ),
        ('data_rot=/data', r'did you mean data_root\?'),
        ('zyzzyva=1', r'the config has no zyzzyva$'),
    ],
)
def test_load_config__option_that_leads_nowhere(write_tiny_config, option, expected):
    with pytest.raises(ConfigError, match=expected):
        load_config(write_tiny_config(), [option])
