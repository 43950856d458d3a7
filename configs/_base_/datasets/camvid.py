# CamVid (Brostow et al., 2009), 480 x 360, with the 11 classes of SegNet; the worked example of FolderDataset:
# copy this file, set the folders, the classes and what the raw label values mean.
_base_ = './common.py'

crop_size = (192, 192)
image_scale = (480, 360)
ratio_range = (0.75, 1.25)
data_root = 'data/camvid'
classes = [
    'Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist',
]  # fmt: skip
palette = [
    [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
    [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192],
]  # fmt: skip
ignore_values = [11]  # void
# Light augmentation for minutes of training; for hours set ratio_range = (0.5, 2.0), and delete this list and its
# place in train_dataloader, which leaves that of common.py, with TablePhotoMetricDistortion.
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
    dict(type='PackPlanes'),
]
# Images are predicted at their own size.
test_pipeline = [
    dict(type='LoadImage', bands='${bands}', value_range='${value_range}'),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
tta_resizes = [
    dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.75, 1.0, 1.25)
]
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        classes=classes,
        palette=palette,
        ignore_values=ignore_values,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        classes=classes,
        palette=palette,
        ignore_values=ignore_values,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
