# One kind of thing against the background: masks whose pixels are 0 for background and 255 (or 1, or a set bit)
# for the thing. Any other value in a mask, such as the greys of a resized or JPEG-compressed one, is an error.
data_root = 'data/binary'
classes = ['background', 'foreground']
palette = [[0, 0, 0], [255, 96, 0]]
label_map = {0: 0, 1: 1, 255: 1}
ignore_values = []
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadLabel'),
    dict(
        type='RandomResizeCrop',
        scale=(2048, 512),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
        crop_size=(512, 512),
        # Of ten crops the first that shows some of the thing is taken, however little it is.
        cat_max_ratio=0.999,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='TablePhotoMetricDistortion'),
    dict(type='PackPlanes'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * factor), int(512 * factor)), keep_ratio=True)
                for factor in (0.75, 1.0, 1.25)
            ],
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
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        classes=classes,
        palette=palette,
        label_map=label_map,
        ignore_values=ignore_values,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        classes=classes,
        palette=palette,
        label_map=label_map,
        ignore_values=ignore_values,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MeanIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
