"""Networks that ``torch.compile`` compiles for the training: one graph each, the same losses and weights."""

import contextlib
import json

import pytest
import torch
from torch._dynamo.utils import counters

from swinseg import load_config, train
from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError
from swinseg.engine.distributed.fsdp import FSDPModel
from swinseg.engine.hooks.compiled_training import CompiledTrainingHook, compiled_training_hook
from swinseg.models import compiled

# Traced as inductor's, and then run as it is.
TRACED = dict(backend='eager')


pytestmark = pytest.mark.usefixtures('compiled_graphs')


def losses_in(folder):
    (path,) = folder.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return [line['loss'] for line in lines if 'loss' in line]


@pytest.mark.full
def test_compile__trains_as_without_it(write_tiny_config, tmp_path):
    cfg = load_config(
        write_tiny_config(),
        {'model.backbone.drop_path_rate': 0.0, 'model.backbone.depths': [1, 1, 1, 1]},
    )
    results = {}
    for name, setting in (('eager', None), ('compiled', TRACED)):
        cfg.compile = setting
        results[name] = train(cfg, work_dir=tmp_path / name, seed=3, check=False)
    # Backbone, decode head and auxiliary head; images of the validations made none.
    assert counters['stats']['unique_graphs'] == 3
    assert not counters['graph_break']
    found, expected = (losses_in(tmp_path / name) for name in ('compiled', 'eager'))
    assert found == pytest.approx(expected, rel=1e-4)
    assert results['compiled'].best_score == pytest.approx(results['eager'].best_score, abs=0.1)
    weights, others = (read_checkpoint(results[name].last)['state_dict'] for name in results)
    assert list(weights) == list(others)
    # As another training of this process would be.
    assert torch._dynamo.eval_frame._stance.stance == 'default'


def test_own_stance__is_left_after_an_error_in_a_validation():
    hook = CompiledTrainingHook({})
    training = contextlib.ExitStack()
    training.enter_context(hook.own_stance())
    hook.before_val_epoch(None)
    assert torch._dynamo.eval_frame._stance.stance == 'force_eager'
    training.__exit__(OSError, OSError('gone'), None)
    assert torch._dynamo.eval_frame._stance.stance == 'default'


@pytest.mark.parametrize('setting', [None, False])
def test_hook__is_not_there_by_default(setting):
    assert compiled_training_hook(setting, torch.nn.Linear(1, 1)) is None


@pytest.mark.parametrize(
    ('setting', 'sentence'),
    [
        ('yes', "compile must be True, False or a dict of options of torch.compile, found 'yes'"),
        (dict(speed=9), r'torch\.compile has no option speed, .* it takes backend, disable'),
    ],
)
def test_hook__other_settings(setting, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compiled_training_hook(setting, torch.nn.Linear(1, 1))


def test_hook__what_it_does_not_go_with(monkeypatch):
    with pytest.raises(ConfigError, match=r'does not go with MMFullyShardedDataParallel'):
        compiled_training_hook(True, object.__new__(FSDPModel))
    monkeypatch.setattr(compiled, 'has_cpp_compiler', lambda: False)
    with pytest.raises(ConfigError, match=r'needs a C\+\+ compiler .*, or leave --compile out'):
        compiled_training_hook(True, torch.nn.Linear(1, 1))
    assert compiled_training_hook(TRACED, torch.nn.Linear(1, 1)) is not None
