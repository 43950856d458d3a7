# Swin-T for a GPU with 8 GB: two images at a time, which need no checkpointing, eight times for one step of the
# recipe's 16.
# Not a published row: batch norm over two images is noisier than over 16.
_base_ = './upernet_swin_t_ade20k.py'

train_dataloader = dict(batch_size=2)
effective_batch = 'accumulation'
