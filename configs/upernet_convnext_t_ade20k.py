# ConvNeXt-T of timm, ImageNet-22K weights fine-tuned on 1K, 512 x 512, with the recipe of Liu et al. 2022 ("A ConvNet
# for the 2020s", appendix A.3): learning rate 1e-4, weight decay 0.05, layer-wise decay 0.9.
# The paper has 46.0 (single scale) and 46.7 (multi-scale + flip) from ImageNet-1K weights, with layers grouped by
# threes; not a run of ours.
_base_ = [
    './_base_/models/upernet_timm.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime.py',
]
model = dict(
    # True fetches them from the Hugging Face hub; a path of a file that is there already does as well.
    backbone=dict(model_name='convnext_tiny.fb_in22k_ft_in1k', pretrained=True, drop_path_rate=0.4),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(
    constructor='LayerDecayConstructor',
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.9),
)
