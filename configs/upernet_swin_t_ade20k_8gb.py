# Swin-T for a GPU with 8 GB: two images at a time, which need no checkpointing, and the rate in proportion.
# Not a published row: batch norm over two images is noisier than over 16.
_base_ = './upernet_swin_t_ade20k.py'

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(enable=True)
