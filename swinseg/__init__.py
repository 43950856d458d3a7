"""swinseg: semantic segmentation with a Swin Transformer backbone and a UPerNet head.

Importing the package repairs the third-party stack (:mod:`swinseg.compat`) and registers the models,
datasets, transforms, metrics and hooks in mmseg's registries, so that a config can name them.
"""

from typing import TYPE_CHECKING, Any

from swinseg import compat

compat.apply()

from swinseg import datasets, engine, evaluation, models  # noqa: E402 - the repairs come first

if TYPE_CHECKING:
    from swinseg.predictor import Predictor, Segmentation

__version__ = '0.1.0'
__all__ = ['Predictor', 'Segmentation', 'datasets', 'engine', 'evaluation', 'models']


def __getattr__(name: str) -> Any:
    if name in ('Predictor', 'Segmentation'):
        from swinseg import predictor

        return getattr(predictor, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
