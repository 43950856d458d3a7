# What the datasets have in common: pipelines, loaders and the metric. '${name}' becomes the variable of that name
# when the config is loaded, after all that inherits this file and after `--cfg-options 'crop_size=(320,320)'`.
crop_size = (512, 512)
image_scale = (2048, 512)  # the longer side at most, and the shorter one
ratio_range = (0.5, 2.0)  # of the scale, in training
cat_max_ratio = 0.75  # of a crop that one class may fill
bands = (
    None  # names of those that the model is shown, where they are not red, green and blue of 8 bits
)
value_range = None  # of images of more than 8 bits; `swinseg check` measures it
train_pipeline = [
    dict(type='LoadImage', bands='${bands}', value_range='${value_range}'),
    dict(type='LoadLabel'),
    dict(
        type='RandomResizeCrop',
        scale='${image_scale}',
        ratio_range='${ratio_range}',
        keep_ratio=True,
        crop_size='${crop_size}',
        cat_max_ratio='${cat_max_ratio}',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='TablePhotoMetricDistortion'),
    dict(type='PackPlanes'),
]
# The label is loaded after Resize and so keeps its own size, at which predictions are scored.
test_pipeline = [
    dict(type='LoadImage', bands='${bands}', value_range='${value_range}'),
    dict(type='Resize', scale='${image_scale}', keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
tta_resizes = [
    dict(type='Resize', scale='${image_scale} * ' + factor, keep_ratio=True)
    for factor in ('0.75', '1.0', '1.25')
]
tta_pipeline = [
    dict(type='LoadImage', bands='${bands}', value_range='${value_range}'),
    dict(
        type='TestTimeAug',
        transforms=[
            '${tta_resizes}',
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadLabel')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MeanIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
