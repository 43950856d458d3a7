"""Swin Transformer (Liu et al. 2021): backbone, blocks and attention."""
