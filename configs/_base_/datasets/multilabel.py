# Classes of which a pixel may have several at once, or none: bit masks, integer images in which bit k is class k.
# With one mask for each class, set multi_label='folders' and have masks/train/<class>/NAME.png and so on.
_base_ = './common.py'

# Of ten crops the first that shows some of a class is taken, however little it is.
cat_max_ratio = 0.999
data_root = 'data/multilabel'
classes = ['road', 'marking', 'shadow']
palette = [[0, 114, 178], [240, 228, 66], [204, 121, 167]]
multi_label = 'bits'
# In test pipelines, too, planes of classes are packed by PackPlanes.
test_pipeline = [*_base_.test_pipeline[:-1], dict(type='PackPlanes')]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[*_base_.tta_pipeline[1].transforms[:-1], [dict(type='PackPlanes')]],
    ),
]
train_dataloader = dict(
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        classes=classes,
        palette=palette,
        multi_label=multi_label,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        classes=classes,
        palette=palette,
        multi_label=multi_label,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# A validation chooses the threshold of each class, which checkpoints keep; a test takes what they have.
val_evaluator = dict(_delete_=True, type='MultiLabelMetric', choose_thresholds=True)
test_evaluator = dict(_delete_=True, type='MultiLabelMetric')
