"""Inference on images of any size, by callables that know their own windows only."""

from swinseg.inference.sliding_window import Block, ImageSource, SlideError, slide, slide_blocks

__all__ = ['Block', 'ImageSource', 'SlideError', 'slide', 'slide_blocks']
