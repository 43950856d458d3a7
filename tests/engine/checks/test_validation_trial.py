"""The validation batch before a training: what fails in it, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from support.training import assert_same_state
from swinseg.engine import ConfigError, TrainingError, load_config, train
from swinseg.engine.checks import before_training as before_training_module
from swinseg.engine.checks.validation_trial import try_validation
from swinseg.errors import UserError


@TRANSFORMS.register_module()
class _FourthBand(BaseTransform):
    """Adds a band, as images with an infrared one have it."""

    def transform(self, results):
        results['img'] = np.dstack([results['img'], results['img'][..., :1]])
        return results


@TRANSFORMS.register_module()
class _WrongLabel(BaseTransform):
    """Writes a value that is no class into the label of one sample."""

    def __init__(self, at):
        self.left = at

    def transform(self, results):
        self.left -= 1
        if self.left == 0:
            results['gt_seg_map'][:] = 77
        return results


MIXED = """
val_dataloader = dict(
    batch_size=2,
    dataset=dict(pipeline=[
        dict(type='LoadImage'),
        dict(type='RandomResize', scale=(256, 64), ratio_range=(0.5, 1.5), keep_ratio=True),
        dict(type='LoadLabel'),
        dict(type='PackSegInputs'),
    ]),
)
model = dict(backbone=dict(drop_path_rate=0.3))
"""
UNLABELED = "[dict(type='LoadImage'), dict(type='PackSegInputs')]"
STOCK = (
    "model = dict(type='EncoderDecoder')\nval_evaluator = dict(_delete_=True, type='IoUMetric')\n"
)

FAILURES = {
    'no labels': (
        f'val_dataloader = dict(dataset=dict(pipeline={UNLABELED}))', r'has no label to compare .* give the'),
    "no labels for mmseg's metric": (
        f'{STOCK}val_dataloader = dict(dataset=dict(pipeline={UNLABELED}))',
        r'first batch of val_dataloader cannot be evaluated: mmseg\S+ says KeyError: .*gt_sem_seg'),
    "several sizes for mmseg's segmentor": (
        MIXED + STOCK, r'mmseg\S+ says AssertionError: The image size in a batch should be the same;'),
    'no test_cfg': ('model = dict(test_cfg=None)', r"model\.test_cfg, .* set test_cfg=dict\(mode='whole'\)"),
    'a fourth band': (
        "val_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), "
        "dict(type='LoadLabel'), dict(type='_FourthBand'), dict(type='PackSegInputs')]))",
        r'has 4 channels after loading, but the model takes 3'),
}  # fmt: skip


@pytest.mark.parametrize('case', FAILURES)
def test_validation__fails_before_the_first_step(case, write_tiny_config, tmp_path, monkeypatch):
    extra, sentence = FAILURES[case]
    monkeypatch.setattr('swinseg.engine.loop.train_loop.ExactTrainLoop.run_iter', None)
    with pytest.raises(UserError, match=sentence) as caught:
        train(load_config(write_tiny_config(extra=extra)), work_dir=tmp_path / 'work', check=False)
    assert '\n' not in str(caught.value)


@pytest.mark.slow
def test_trial__leaves_no_trace(write_tiny_config, tmp_path, monkeypatch):
    """Random transforms, batch norm, dropout, stochastic depth, counts of the metric and a resume."""
    extra = MIXED + (
        'train_cfg = dict(max_iters=1)\ndefault_hooks = dict(checkpoint=dict(interval=1))\n'
        "val_evaluator = dict(output_dir={!r})\nmodel['decode_head'] = dict(dropout_ratio=0.2)\n"
    )
    outputs, results, tried = {}, {}, []

    def looked_at(runner):
        predictions = tmp_path / 'written'
        before = sorted(predictions.glob('**/*.png'))
        state = {key: value.clone() for key, value in runner.model.state_dict().items()}
        modes = [module.training for module in runner.model.modules()]
        generator = torch.get_rng_state()
        try_validation(runner)
        assert sorted(predictions.glob('**/*.png')) == before
        assert torch.equal(torch.get_rng_state(), generator)
        assert [module.training for module in runner.model.modules()] == modes
        assert runner.val_loop.evaluator.metrics[0].results == []
        assert all(
            torch.equal(value, state[key]) for key, value in runner.model.state_dict().items()
        )
        tried.append(runner.iter)

    for name, trial in (('with', looked_at), ('without', lambda runner: None)):
        monkeypatch.setattr(before_training_module, 'try_validation', trial)
        cfg = load_config(write_tiny_config(extra=extra.format(str(tmp_path / 'written'))))
        outputs[name] = tmp_path / name
        train(cfg, work_dir=outputs[name], seed=0, check=False)
        cfg.train_cfg.max_iters = 2
        results[name] = train(cfg, work_dir=outputs[name], resume=True, check=False)
    assert tried == [0, 1]
    assert results['with'].best_score == results['without'].best_score
    assert_same_state(results['with'].last, results['without'].last)


def test_label__that_is_no_class_is_named_at_a_later_step(write_tiny_config, tmp_path):
    """The first batch is looked at by FirstBatchHook, and what a step after the loading does by nobody."""
    extra = """
_base_.train_pipeline.insert(4, dict(type='_WrongLabel', at=4))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
"""
    cfg = load_config(write_tiny_config(extra=extra))
    with pytest.raises(TrainingError, match=r'label of \S+\.png has the value 77 after loading'):
        train(cfg, work_dir=tmp_path, check=False)


def test_error_of_ones_own_code__is_shown_as_it_is(write_tiny_config, tmp_path, monkeypatch):
    def defect(self, data):
        raise KeyError('a defect')

    monkeypatch.setattr('swinseg.models.SwinSegmentor.val_step', defect)
    with pytest.raises(KeyError, match='a defect') as caught:
        train(load_config(write_tiny_config()), work_dir=tmp_path, check=False)
    assert not isinstance(caught.value, ConfigError)
