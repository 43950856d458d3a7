"""swinseg: semantic segmentation with a Swin Transformer backbone and a UPerNet head.

Importing the package repairs the third-party stack (:mod:`swinseg.compat`) and registers the models,
datasets, transforms and metrics in mmseg's registries, so that a config can name them.
"""

from swinseg import compat

compat.apply()

__version__ = '0.1.0'
