"""The effective batch: what the config becomes, and that accumulated steps are those of the whole batch."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError, load_config, train
from swinseg.engine.optim.accumulation import divide, mean_of
from swinseg.engine.optim.effective_batch import apply_effective_batch

# Without what draws from the random numbers or depends on the other images of a batch, accumulation is exact.
DETERMINISTIC = """
norm_cfg = dict(type='GN', num_groups=4)
model = dict(
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(norm_cfg=norm_cfg, dropout_ratio=0.0),
    auxiliary_head=dict(norm_cfg=norm_cfg, dropout_ratio=0.0),
)
auto_scale_lr = dict(base_batch_size=4)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.01, weight_decay=0.0))
param_scheduler = None
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None, interval=1))
"""


def small(choice: str | None, *, images: int = 2, recipe: int | None = 16, **changes) -> Config:
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=images),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=100),
            optim_wrapper=dict(type='OptimWrapper'),
            auto_scale_lr=dict(base_batch_size=recipe, enable=False),
            param_scheduler=[
                dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=15),
                dict(type='PolyLR', by_epoch=False, begin=15, end=1000),
                dict(type='MultiStepLR', by_epoch=True, milestones=[3, 5]),
            ],
            default_hooks=dict(checkpoint=dict(by_epoch=False, interval=100)),
            custom_hooks=[dict(type='CurvesHook')],
            **changes,
        )
    )
    if choice is not None:
        cfg.effective_batch = choice
    return cfg


def test_as_is__changes_nothing_and_says_what_to_set():
    cfg = small(None)
    before = cfg.to_dict()
    batch = apply_effective_batch(cfg, processes=2)
    assert cfg.to_dict() == before
    assert batch.describe() == (
        'batch: 2 processes x 2 images = 4, but the learning rate is meant for 16: set effective_batch to '
        'accumulation or learning_rate, or train_dataloader.batch_size=8; '
        '1000 steps see 4000 images, 25% of the recipe'
    )


def test_as_is__the_recipes_batch_is_fine():
    batch = apply_effective_batch(small('as_is', images=4), processes=4)
    assert batch.describe() == (
        'batch: 4 processes x 4 images = 16, that of the recipe; 1000 steps see 16000 images'
    )


def test_accumulation__keeps_every_count_of_the_config():
    cfg = small('accumulation')
    batch = apply_effective_batch(cfg, processes=2)
    assert cfg.train_dataloader == dict(batch_size=8, drop_last=True)
    assert [hook.type for hook in cfg.custom_hooks] == ['CurvesHook', 'AccumulationHook']
    assert cfg.custom_hooks[1].parts == batch.parts == 4
    untouched = small(None)
    for key in ('train_cfg', 'param_scheduler', 'default_hooks', 'optim_wrapper', 'auto_scale_lr'):
        assert cfg[key] == untouched[key]
    assert batch.describe() == (
        'batch: 2 processes x 2 images x 4 parts = 16, that of the recipe; 1000 steps see 16000 images'
    )


@pytest.mark.parametrize(
    ('images', 'max_iters', 'warm_up', 'line'),
    [
        (
            2,
            8000,
            120,
            'learning rate x 0.125, 8000 iterations for 1000; 8000 steps see 16000 images',
        ),
        (64, 250, 4, 'learning rate x 4, 250 iterations for 1000; 250 steps see 16000 images'),
    ],
)
def test_learning_rate__keeps_the_number_of_images(images, max_iters, warm_up, line):
    cfg = small('learning_rate', images=images)
    cfg.custom_hooks = [
        dict(type='ResumableEMAHook', begin_iter=100),
        dict(type='ExpectedCurveHook', points=[(100, 20.0), (1000, 44.0)]),
    ]
    batch = apply_effective_batch(cfg, processes=1)
    assert cfg.auto_scale_lr.enable is True
    assert cfg.train_cfg.max_iters == max_iters
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == max_iters // 10
    warm, poly, steps = cfg.param_scheduler
    assert (warm.begin, warm.end, poly.begin, poly.end) == (0, warm_up, warm_up, max_iters)
    assert steps.milestones == [3, 5]  # of epochs
    assert cfg.custom_hooks[0].begin_iter == max_iters // 10
    assert cfg.custom_hooks[1].points == [(max_iters // 10, 20.0), (max_iters, 44.0)]
    assert batch.describe().endswith(line)


def test_enabled_scaling__is_told_with_the_images_that_are_missing():
    cfg = small(None)
    cfg.auto_scale_lr.enable = True
    line = apply_effective_batch(cfg, processes=1).describe()
    assert line == (
        'batch: 1 process x 2 images = 2 for 16 of the recipe: learning rate x 0.125; '
        '1000 steps see 2000 images, 12% of the recipe'
    )


def test_accumulative_counts_of_mmengine__are_counted_in_forward_passes():
    cfg = small(None)
    cfg.optim_wrapper.accumulative_counts = 8
    line = apply_effective_batch(cfg, processes=1).describe()
    assert '1 process x 2 images x 8 parts = 16, that of the recipe' in line
    assert '125 steps see 2000 images, 12% of the recipe' in line


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            dict(choice='acumulation'),
            r"one of as_is, accumulation, learning_rate, found 'acumulation'",
        ),
        (dict(choice='accumulation', recipe=None), r'needs auto_scale_lr\.base_batch_size'),
        (dict(choice='learning_rate', images=None), r'needs train_dataloader\.batch_size'),
        (
            dict(choice='accumulation', images=3),
            r'a batch of 16 out of 1 x 3 images; .* 1 times it divides 16',
        ),
        (dict(choice='accumulation', images=32), r'a batch of 16 out of 1 x 32 images'),
    ],
)
def test_apply__what_cannot_be(change, sentence):
    cfg = small(**change)
    with pytest.raises(ConfigError, match=sentence):
        apply_effective_batch(cfg, processes=1)


def test_apply__two_owners_of_accumulation():
    cfg = small('accumulation')
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(ConfigError, match=r'accumulative_counts=2 both say'):
        apply_effective_batch(cfg, processes=1)


def test_apply__a_batch_sampler_says_the_batch_itself():
    assert apply_effective_batch(small(None, images=None), processes=1) is None


@pytest.mark.parametrize(
    ('amp', 'tolerance'),
    [(False, 1e-5), pytest.param(True, 0.15, marks=pytest.mark.full)],
    ids=['float32', 'bfloat16'],
)
def test_train__accumulated_steps_are_those_of_the_whole_batch(
    write_tiny_config, tmp_path, amp, tolerance
):
    """The same images in the same order, and the gradient of their mean loss."""
    weights = {}
    for images, steps in ((4, 2), (2, 2), (4, 1)):
        options = {
            'train_dataloader.batch_size': images,
            'effective_batch': 'accumulation',
            'train_cfg.max_iters': steps,
        }
        cfg = load_config(write_tiny_config(extra=DETERMINISTIC), options)
        work_dir = tmp_path / f'{images}_{steps}'
        assert train(cfg, work_dir=work_dir, seed=0, amp=amp, check=False).iterations == steps
        state = read_checkpoint(work_dir / f'iter_{steps}.pth')['state_dict']
        weights[images, steps] = torch.cat([value.flatten() for value in state.values()])
    moved = (weights[4, 2] - weights[4, 1]).norm()
    assert moved > 1e-4
    assert (weights[4, 2] - weights[2, 2]).norm() < tolerance * moved


def test_train__accumulates_in_epochs_and_resumes(write_tiny_config, tmp_path):
    extra = """
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2)
val_dataloader = val_cfg = val_evaluator = None
param_scheduler = None
train_dataloader = dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=True))
auto_scale_lr = dict(base_batch_size=4)
effective_batch = 'accumulation'
default_hooks = dict(
    checkpoint=dict(by_epoch=True, interval=1, save_best=None), logger=dict(log_metric_by_epoch=True)
)
"""
    cfg = load_config(write_tiny_config(extra=extra))
    assert train(cfg, work_dir=tmp_path / 'work', check=False).iterations == 2
    cfg.train_cfg.max_epochs = 3
    done = train(cfg, work_dir=tmp_path / 'work', resume=True, check=False)
    assert done.iterations == 3


def test_train__says_the_batch(write_tiny_config, tmp_path, capsys):
    options = {'auto_scale_lr.base_batch_size': 16, 'train_cfg.max_iters': 1}
    train(load_config(write_tiny_config(), options), work_dir=tmp_path, check=False)
    line = 'batch: 1 process x 2 images = 2, but the learning rate is meant for 16: set effective_batch'
    assert line in capsys.readouterr().out


def test_divide__and_mean_of():
    data = dict(inputs=torch.arange(6), data_samples=list('abcdef'))
    assert [''.join(part['data_samples']) for part in divide(data, 3)] == ['ab', 'cd', 'ef']
    assert divide(data, 2)[1]['inputs'].tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match='6 images cannot be divided into 4'):
        divide(data, 4)
    assert mean_of([{'loss': torch.tensor(1.0)}, {'loss': torch.tensor(3.0)}])['loss'] == 2
