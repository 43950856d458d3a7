"""The steps of a dataset's pipeline that load its files, run alone: what they cannot read, training cannot."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile

from swinseg.config.pipelines import LABEL_LOADERS
from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.headers import format_of
from swinseg.datasets.transforms.loading import LoadImage, LoadLabel
from swinseg.errors import DataError, is_out_of_memory, shown

_NORMALIZING = ('Normalize', 'Rerange', 'Albu')
# Formats whose files have 8 bits in any case.
_NEVER_DEEP = ('JPEG', 'WebP', 'GIF', 'BMP')
# Of mmcv's decoders that may be missing: what stands for the package in mmcv, None without it, and its name.
_PACKAGES = {'tifffile': ('tifffile', 'tifffile'), 'turbojpeg': ('TurboJPEG', 'PyTurboJPEG')}


def image_loader(dataset: Any) -> BaseTransform:
    """Return what loads the images of a dataset, or of the first one in a wrapper.

    It is the pipeline's own, without the scale that a ``LoadImage`` draws for the steps behind it; ``LoadImage()``
    where there is none.
    """
    step = next(
        (
            step
            for step in _steps(dataset)
            if type(step).__name__.startswith('Load') and type(step).__name__ not in LABEL_LOADERS
        ),
        None,
    )
    if isinstance(step, LoadImage):
        step = copy.copy(step)
        step.reduced_for = None
    return LoadImage() if step is None else step


def label_loader(dataset: Any) -> LoadLabel:
    """Return the pipeline's own ``LoadLabel``, or a plain one where another class loads the labels."""
    return next((step for step in _steps(dataset) if isinstance(step, LoadLabel)), LoadLabel())


def changes_values(dataset: Any) -> bool:
    """Return whether a step behind the loader may give the values of images another meaning than they had.

    That is one of mmcv's or mmseg's that normalizes, or any of another package.
    """
    return any(
        type(step).__name__ in _NORMALIZING
        or type(step).__module__.split('.')[0] not in ('mmcv', 'mmseg', 'swinseg')
        for step in _steps(dataset)
        if not type(step).__name__.startswith('Load')
    )


def load_image(loader: BaseTransform, info: Mapping[str, Any]) -> dict[str, Any]:
    """Load an image as the pipeline does.

    Args:
        loader: of the pipeline.
        info: what the dataset says of the image; it is not changed.

    Returns:
        The loader's results: ``img``, (H, W) or (H, W, C), and ``ori_shape``, (H, W), among them.

    Raises:
        DataError: the image cannot be read, or its loader lacks a package.
    """
    path = info['img_path']
    if isinstance(loader, LoadImageFromFile):
        _check_decoder(loader, path)
    try:
        results = loader.transform(dict(info))
        image = None if results is None else results.get('img')
        if not isinstance(image, np.ndarray):
            raise ValueError('it gives no image')
        # Some of other packages leave it out.
        results.setdefault('ori_shape', image.shape[:2])
    except DataError:
        raise
    except Exception as error:  # a loader of another package, which may raise anything
        if is_out_of_memory(error):
            raise image_files.too_large('image', path) from error
        raise DataError(
            f'image {path} is not read by {type(loader).__name__}, which loads it in the pipeline: '
            f'{type(error).__name__}: {shown(str(error), most=200)}; look at the file with what wrote it, or load '
            "it by LoadImage(color_type='unchanged')"
        ) from error
    return dict(results)


def _check_decoder(loader: LoadImageFromFile, path: str) -> None:
    """Refuse a decoder that is not installed, and a file that is cut short, whose rest decoders fill with gray."""
    backend = loader.imdecode_backend or mmcv.image.io.imread_backend
    module, package = _PACKAGES.get(backend, ('mmcv', ''))
    if getattr(mmcv.image.io, module, True) is None:
        raise DataError(
            f'the pipeline loads image {path} with imdecode_backend={backend!r}, whose package is not installed: '
            f"pip install {package}, or take LoadImage(color_type='unchanged')"
        )
    if backend == 'tifffile':
        return
    data = image_files.read_bytes(path, backend_args=loader.backend_args)
    if loader.color_type == 'unchanged' or format_of(data) in _NEVER_DEEP:
        return
    dtype = image_files.decode_values(data, path).dtype
    if dtype != np.uint8:
        raise DataError(
            f'image {path} holds values of {8 * dtype.itemsize} bits, of which LoadImageFromFile keeps the '
            'highest 8; take LoadImage(value_range=...), whose range swinseg check measures with '
            "LoadImage(), or LoadImage(value_range='high_byte') for just that"
        )


def _steps(dataset: Any) -> list[BaseTransform]:
    while hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    return list(getattr(getattr(dataset, 'pipeline', None), 'transforms', ()))
