"""swinseg: semantic segmentation with a Swin Transformer backbone and a UPerNet head.

Importing the package repairs the third-party stack (:mod:`swinseg.compat`) and registers the models,
datasets, transforms, metrics and hooks in mmseg's registries, so that a config can name them.
"""

from typing import TYPE_CHECKING, Any

from swinseg import compat

compat.apply()

# The repairs come first.
from swinseg import datasets, engine, evaluation, models  # noqa: E402
from swinseg.models.prepare import prepare_for_inference  # noqa: E402

if TYPE_CHECKING:
    from swinseg.predictor import Predictor, Segmentation

__version__ = '0.1.0'
__all__ = [
    'Predictor',
    'Segmentation',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'prepare_for_inference',
]


def __getattr__(name: str) -> Any:
    if name in ('Predictor', 'Segmentation'):
        from swinseg import predictor

        return getattr(predictor, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
