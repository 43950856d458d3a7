# The embedded mini set, ten of ADE20K's classes; draw it with
#     swinseg prepare mini --out data/mini
_base_ = './common.py'

crop_size = (128, 128)
image_scale = (768, 192)
ratio_range = (0.75, 1.5)
data_root = 'data/mini'
metainfo = dict(
    classes=(
        'wall', 'building', 'sky', 'floor', 'tree', 'road', 'grass', 'person', 'car', 'water',
    ),
)  # fmt: skip
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        metainfo=metainfo,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        metainfo=metainfo,
    ),
)
test_dataloader = val_dataloader
