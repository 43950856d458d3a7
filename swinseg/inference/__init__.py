"""Inference on images of any size, by callables that know their own windows only."""

from swinseg.errors import SlideError
from swinseg.inference.memory import MemoryPlan, WindowNeeds, measure_window, plan_memory
from swinseg.inference.sliding_window import ImageSource, MaskedImageSource, slide, slide_blocks
from swinseg.inference.window_sums import Block
from swinseg.raster.image import Georeference, RasterError, RasterImage
from swinseg.raster.readers import open_image
from swinseg.raster.writers import LabelWriter, source_identity

__all__ = [
    'Block',
    'Georeference',
    'ImageSource',
    'LabelWriter',
    'MaskedImageSource',
    'MemoryPlan',
    'RasterError',
    'RasterImage',
    'SlideError',
    'WindowNeeds',
    'measure_window',
    'open_image',
    'plan_memory',
    'slide',
    'slide_blocks',
    'source_identity',
]
