"""Swin Transformer (Liu et al. 2021, 2022): backbone, blocks and attention."""
