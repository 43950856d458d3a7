# ADE20K (150 classes) at 512: short side 512 at most 2048 long, scaled by 0.5 to 2.0, crops of 512.
data_root = 'data/ade/ADEChallengeData2016'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadLabel'),
    dict(
        type='RandomResizeCrop',
        scale=(2048, 512),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
        crop_size=(512, 512),
        cat_max_ratio=0.75,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='TablePhotoMetricDistortion'),
    dict(type='PackPlanes'),
]
# The label is loaded after Resize and so keeps its own size, at which predictions are scored.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
# Multi-scale + flip as in the published figures: the factors apply to the test scale above. (mmseg 1.x's own
# configs apply them to each image's own size, which is nearly the same on the full set.)
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * factor), int(512 * factor)), keep_ratio=True)
                for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadLabel')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
# The recipe's batch of 16 is 2 on each of 8 GPUs.
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MeanIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
