# The recipe of Liu et al. 2021 (appendix A.3) for ADE20K: 160k iterations at batch 16, AdamW, 1,500 steps
# of linear warm-up, then linear decay to zero.
optim_wrapper = dict(
    type='OptimWrapper',
    # Fused: the same step in one pass over weights, gradients and moments.
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    # No weight decay on position tables and on norms: it would pull a scale towards zero.
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
        }
    ),
)
# A schedule without `end` ends with the training, whatever train_cfg.max_iters is.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500),
]
train_cfg = dict(by_epoch=False, max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The learning rate above belongs to this batch size, counted over all processes; a run with another one is told
# so, and `--cfg-options effective_batch=accumulation` (or `learning_rate`) makes up for it: docs/training.md.
auto_scale_lr = dict(base_batch_size=16, enable=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=False,
        interval=16000,
        max_keep_ckpts=3,
        save_best='mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
