"""The steps of stock mmseg that the training transforms of this package stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_STOCK_NAMES = {
    'LoadImage': 'LoadImageFromFile',
    'LoadLabel': 'LoadAnnotations',
    'TablePhotoMetricDistortion': 'PhotoMetricDistortion',
    'PackPlanes': 'PackSegInputs',
}


def stock_steps(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The configs of mmseg's transforms that do what one of ours does; their parameters are called the same."""
    if step['type'] != 'RandomResizeCrop':
        given = {key: value for key, value in step.items() if value is not None}
        return [{**given, 'type': _STOCK_NAMES.get(step['type'], step['type'])}]
    crop = {key: step[key] for key in ('crop_size', 'cat_max_ratio')}
    resize = {key: value for key, value in step.items() if key not in crop}
    return [{**resize, 'type': 'RandomResize'}, {**crop, 'type': 'RandomCrop'}]


def assert_same_results(ours, theirs):
    """Assert that two transforms left the same keys, types and values."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, np.ndarray):
            assert ours[key].dtype == value.dtype
            np.testing.assert_array_equal(ours[key], value)
        else:
            assert ours[key] == value
