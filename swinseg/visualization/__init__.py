"""Pictures: palettes, coloured label maps and overlays, training curves."""

from swinseg.visualization.colorize import colorize, overlay, save_indexed_png
from swinseg.visualization.curves import find_scalars, plot_curves
from swinseg.visualization.palette import VisualizationError, check_palette, default_palette

__all__ = [
    'VisualizationError',
    'check_palette',
    'colorize',
    'default_palette',
    'find_scalars',
    'overlay',
    'plot_curves',
    'save_indexed_png',
]
