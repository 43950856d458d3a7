# One kind of thing against the background: masks whose pixels are 0 for background and 255 (or 1, or a set bit)
# for the thing. Any other value in a mask, such as the grays of a resized or JPEG-compressed one, is an error.
_base_ = './common.py'

# Of ten crops the first that shows some of the thing is taken, however little it is.
cat_max_ratio = 0.999
data_root = 'data/binary'
classes = ['background', 'foreground']
palette = [[0, 0, 0], [255, 96, 0]]
label_map = {0: 0, 1: 1, 255: 1}
ignore_values = []
train_dataloader = dict(
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        classes=classes,
        palette=palette,
        label_map=label_map,
        ignore_values=ignore_values,
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
        label_map=label_map,
        ignore_values=ignore_values,
    ),
)
test_dataloader = val_dataloader
