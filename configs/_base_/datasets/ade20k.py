# ADE20K (150 classes) at 512: short side 512 at most 2048 long, scaled by 0.5 to 2.0, crops of 512.
_base_ = './common.py'

data_root = 'data/ade/ADEChallengeData2016'
# Multi-scale + flip as in the published figures: the factors apply to the test scale above. (mmseg 1.x's own
# configs apply them to each image's own size, which is nearly the same on the full set.)
tta_resizes = [
    dict(type='Resize', scale='${image_scale} * ' + factor, keep_ratio=True)
    for factor in ('0.5', '0.75', '1.0', '1.25', '1.5', '1.75')
]
# The recipe's batch of 16 is 2 on each of 8 GPUs.
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    ),
)
test_dataloader = val_dataloader
