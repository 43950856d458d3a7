# Swin-B for a GPU with 8 GB: two images at a time, eight times for one step of the recipe's 16, and activations of
# the backbone's blocks computed twice.
# Not a published row: batch norm over two images is noisier than over 16.
_base_ = './upernet_swin_b_ade20k.py'

model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=2)
effective_batch = 'accumulation'
