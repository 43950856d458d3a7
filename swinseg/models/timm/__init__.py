"""Backbones of timm, and the pyramid that plain Vision Transformers need."""
