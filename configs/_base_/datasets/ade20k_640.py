# ADE20K (150 classes) at 640: short side 640 at most 2560 long, scaled by 0.5 to 2.0, crops of 640.
_base_ = './ade20k.py'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadLabel'),
    dict(
        type='RandomResizeCrop',
        scale=(2560, 640),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
        crop_size=(640, 640),
        cat_max_ratio=0.75,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='TablePhotoMetricDistortion'),
    dict(type='PackPlanes'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2560, 640), keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2560 * factor), int(640 * factor)), keep_ratio=True)
                for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadLabel')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
