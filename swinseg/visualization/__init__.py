"""Pictures: palettes, colored label maps and overlays, training curves."""

# The function colorize is not repeated here: the name stands for the module.
from swinseg.visualization.color_blind import color_blind_palette
from swinseg.visualization.colorize import overlay
from swinseg.visualization.palette import VisualizationError, check_palette, default_palette
from swinseg.visualization.png_files import save_indexed_png
from swinseg.visualization.training.curves import plot_curves
from swinseg.visualization.training.scalars import find_scalars

__all__ = [
    'VisualizationError',
    'check_palette',
    'color_blind_palette',
    'default_palette',
    'find_scalars',
    'overlay',
    'plot_curves',
    'save_indexed_png',
]
