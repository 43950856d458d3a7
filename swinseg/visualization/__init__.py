"""Pictures: palettes, coloured label maps and overlays, training curves."""

# The function colorize is not repeated here: the name stands for the module.
from swinseg.visualization.colorize import overlay, save_indexed_png
from swinseg.visualization.curves import find_scalars, plot_curves
from swinseg.visualization.palette import VisualizationError, check_palette, default_palette

__all__ = [
    'VisualizationError',
    'check_palette',
    'default_palette',
    'find_scalars',
    'overlay',
    'plot_curves',
    'save_indexed_png',
]
