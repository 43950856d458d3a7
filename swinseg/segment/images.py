"""Segmenting a photograph, through the test pipeline of the model's config."""

from __future__ import annotations

import os

from swinseg.errors import DataError, is_out_of_memory
from swinseg.predictor import PredictOptions, Predictor
from swinseg.predictor.segmentation import Segmentation


def segment_image(
    predictor: Predictor,
    path: str | os.PathLike[str],
    options: PredictOptions = PredictOptions(),
) -> Segmentation:
    """Segment an image file whole.

    Args:
        predictor: the model.
        path: the image.
        options: as ``Predictor.predict`` takes them.

    Raises:
        DataError: it cannot be read, or does not fit the memory.
        PredictorError: the options ask for what the model cannot do.
    """
    try:
        return predictor.predict(os.fspath(path), options)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(
            f'image {os.fspath(path)} does not fit the memory as a whole; segment it by windows, say --window 512'
        ) from error
