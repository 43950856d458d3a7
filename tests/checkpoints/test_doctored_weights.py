"""State dicts with keys and shapes changed at random: filled, or refused in one sentence, and soon."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
import torch

from support import tiny_checkpoint
from swinseg.checkpoints import CheckpointError, formats
from swinseg.checkpoints.loading import load_backbone_weights, load_weights

TRIALS = int(os.environ.get('SWINSEG_FUZZ_TRIALS', '300'))


@pytest.fixture(scope='module')
def model():
    return tiny_checkpoint.build(tiny_checkpoint.config(Path('data')))


def _renumbered(state, key, rng):
    number = rng.choice(['999999999', '9' * 5000, '00', '7'])
    state[re.sub(r'\d+', lambda _: number, key)] = state.pop(key)


def _renamed(state, key, rng):
    names = ['', '.', 'stages.', 'backbone.', 'a' * 10_000, 'layers.0.blocks.0.attn.qkv.weight']
    state[rng.choice(names)] = state.pop(key)


CHANGES = {
    'a scalar': lambda state, key, rng: state.update({key: torch.tensor(1.0)}),
    'empty': lambda state, key, rng: state.update({key: torch.empty(0)}),
    'whole numbers': lambda state, key, rng: state.update({key: state[key].long()}),
    'an axis more': lambda state, key, rng: state.update({key: state[key][None]}),
    'one axis': lambda state, key, rng: state.update({key: state[key].flatten()}),
    'narrow': lambda state, key, rng: state.update({key: state[key].reshape(-1)[:1]}),
    'absent': lambda state, key, rng: state.pop(key),
    'other numbers': _renumbered,
    'another name': _renamed,
}


@pytest.mark.parametrize('source', formats.FORMATS)
def test_load_weights__random_changes(source, model):
    """SWINSEG_FUZZ_TRIALS=3000 for more."""
    good = formats.from_mmseg(model.state_dict(), source)
    rng = random.Random(0)
    refusals = []
    for _ in range(TRIALS // len(formats.FORMATS)):
        state = dict(good)
        for _ in range(rng.randint(1, 4)):
            CHANGES[rng.choice(list(CHANGES))](state, rng.choice(list(state)), rng)
        try:
            if rng.random() < 0.7:
                load_weights(model, state, strict=True)
            else:
                load_backbone_weights(model.backbone, state)
        except CheckpointError as error:
            refusals.append(str(error))
    assert not any('\n' in refusal for refusal in refusals)
    assert len(refusals) > TRIALS // len(formats.FORMATS) // 2


@pytest.mark.parametrize(
    ('key', 'value', 'reason'),
    [
        (
            'backbone.patch_embed.projection.bias',
            torch.ones(16).long(),
            'holds torch.int64, but the',
        ),
        (
            'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table',
            torch.zeros(255**2, 1),
            'up to 64 x 64, but one of 65025 rows',
        ),
        ('backbone.stages.1.blocks.999999999.norm1.weight', torch.ones(32), 'no place for'),
    ],
)
def test_load_weights__refuses(key, value, reason, model):
    with pytest.raises(CheckpointError, match=reason):
        load_weights(model, {**model.state_dict(), key: value}, strict=True)
