"""Inference on images of any size, by callables that know their own windows only."""

from swinseg.inference.errors import SlideError
from swinseg.inference.sliding_window import ImageSource, MaskedImageSource, slide, slide_blocks
from swinseg.inference.window_sums import Block

__all__ = ['Block', 'ImageSource', 'MaskedImageSource', 'SlideError', 'slide', 'slide_blocks']
