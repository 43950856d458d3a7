"""Checkpoints of strangers: nothing that their configs name is called, and what they build is bounded."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from support import fuzz_embedded_configs, processes, scripts, tiny_checkpoint, untrusted
from swinseg.errors import ConfigError, UserError
from swinseg.predictor import Predictor, PredictorError

TRIALS = int(os.environ.get('SWINSEG_FUZZ_TRIALS', '400'))


@pytest.fixture(scope='module')
def content(data):
    return untrusted.content(data)


@pytest.fixture
def save(checkpoint, tmp_path):
    """Save the weights of a good checkpoint with another config, and return the path."""

    def save(cfg, *, dataset_meta=True):
        held = torch.load(checkpoint, weights_only=True)
        held['meta']['cfg'] = untrusted.text(cfg)
        if not dataset_meta:
            del held['meta']['dataset_meta']
        torch.save(held, tmp_path / 'x.pth')
        return tmp_path / 'x.pth'

    return save


@pytest.fixture
def command(tmp_path):
    """A config's dict that makes a folder when it is built, and that folder."""
    trace = tmp_path / 'trace'
    return {'type': 'subprocess.getoutput', 'cmd': f'mkdir {trace}'}, trace


@pytest.mark.slow
def test_embedded_config__random_changes_start_nothing(tmp_path):
    """SWINSEG_FUZZ_TRIALS=2000 for more."""
    # In a process of its own: what listens to all that starts cannot be taken away again.
    arguments = (fuzz_embedded_configs.try_changes, TRIALS, tmp_path)
    ((ends, started),) = processes.values(
        processes.run(*arguments, count=1, folder=tmp_path / 'process')
    )
    assert started == {}
    assert not (tmp_path / 'trace').exists()
    assert sum(ends.values()) == TRIALS + 1
    assert ends['ConfigError'] > TRIALS * 0.8
    assert set(ends) <= {'ConfigError', 'CheckpointError', 'PredictorError', 'built'}


def test_trust__is_what_runs_a_command(save, content, command):
    """So that its absence without means something."""
    evil, trace = command
    path = save(
        untrusted.put({**content, 'extra': 0}, ('extra',), 1) | {'model': _with_neck(content, evil)}
    )
    with pytest.raises(
        ConfigError, match=r"model\.neck\.type='subprocess\.getoutput' in the config ins"
    ):
        Predictor.from_checkpoint(path)
    assert not trace.exists()
    Predictor.from_checkpoint(path, trust=True)
    assert trace.is_dir()


def _with_neck(content, neck):
    return {**content['model'], 'neck': neck}


def test_embedded_config__in_safetensors(checkpoint, content, command, tmp_path):
    evil, trace = command
    cfg = {**content, 'model': _with_neck(content, evil)}
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    metadata = {'config': untrusted.text(cfg), 'classes': json.dumps(tiny_checkpoint.CLASSES)}
    save_file(state, tmp_path / 'x.safetensors', metadata=metadata)
    with pytest.raises(ConfigError, match=r'the config inside .*x\.safetensors is an import path'):
        Predictor.from_checkpoint(tmp_path / 'x.safetensors')
    assert not trace.exists()


def test_embedded_config__a_good_one_gives_the_predictor_of_its_file(save, content, data, images):
    path = save(content, dataset_meta=False)
    embedded = Predictor.from_checkpoint(path)
    given = Predictor.from_checkpoint(path, tiny_checkpoint.config(data))
    assert embedded.classes == given.classes == tiny_checkpoint.CLASSES
    assert embedded.palette.tolist() == tiny_checkpoint.PALETTE
    for tta in (False, True):
        first, second = embedded(images[0], tta=tta), given(images[0], tta=tta)
        assert (first.labels == second.labels).all()


def test_config_of_ones_own__may_name_anything(save, content, command, tmp_path):
    evil, trace = command
    path = save({**content, 'model': _with_neck(content, evil)})
    (tmp_path / 'config.py').write_text(untrusted.text(content))
    Predictor.from_checkpoint(path, tmp_path / 'config.py')
    assert not trace.exists()


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (('backbone', 'depths', (60_000, 2, 2, 2)), r'asks for more than [\d,]+ layers'),
        (('backbone', 'embed_dims', 65_536), r'asks for a tensor of [\d,]+ numbers'),
        (('backbone', 'window_size', 65_535), r'asks for a tensor of [\d,]+ numbers'),
        (('backbone', 'mlp_ratio', 60_000), r'asks for more than [\d,]+ parameters'),
        (('decode_head', 'channels', 65_536), r'asks for more than [\d,]+ parameters'),
        (('decode_head', 'num_classes', 60_000), 'class names are known|has 4 classes in the file'),
        (('decode_head', 'pool_scales', (1,) * 20_000), r'asks for more than [\d,]+ layers'),
    ],
)
def test_size__is_bounded_by_the_weights(change, reason, save, content):
    part, key, value = change
    path = save(
        untrusted.put(
            {**content, 'model': _with_key(content, part, key)}, ('model', *change[:2]), value
        )
    )
    with pytest.raises(UserError, match=reason):
        Predictor.from_checkpoint(path)


def _with_key(content, part, key):
    return {**content['model'], part: {**content['model'][part], key: None}}


@pytest.mark.parametrize(
    ('part', 'key', 'value'),
    [
        ('backbone', 'embed_dims', -16),
        ('backbone', 'num_heads', 'four'),
        ('backbone', 'depths', {'a': 1}),
        ('decode_head', 'in_channels', None),
        ('decode_head', 'in_index', [0, 'a']),
        ('decode_head', 'loss_decode', 3),
        ('data_preprocessor', 'mean', 'gray'),
    ],
)
def test_model__that_cannot_be_built_is_one_sentence(part, key, value, save, content):
    path = save(
        untrusted.put(
            {**content, 'model': _with_key(content, part, key)}, ('model', part, key), value
        )
    )
    with pytest.raises(UserError) as caught:
        Predictor.from_checkpoint(path)
    assert '\n' not in str(caught.value)


def test_model__that_is_no_segmentor(save, content):
    path = save({**content, 'model': {'type': 'ReLU', 'data_preprocessor': 1}})
    with pytest.raises(UserError):
        Predictor.from_checkpoint(path)


def test_pipeline__that_cannot_be_built_is_one_sentence(save, content):
    path = save(untrusted.put(content, ('tta_pipeline', 1, 'transforms'), 7))
    with pytest.raises(PredictorError, match='the test pipeline of the config cannot be built: '):
        Predictor.from_checkpoint(path)


def test_segment__refuses_in_one_line_that_says_how_to_trust(
    save, content, command, images, capsys, tmp_path
):
    evil, trace = command
    path = save({**content, 'model': _with_neck(content, evil)})
    code = scripts.run('segment', path, images[0], '--out', tmp_path / 'out')
    scripts.assert_one_clear_line(
        code, capsys, r'is an import path; .* --config, or, .* add --trust'
    )
    assert not trace.exists()
