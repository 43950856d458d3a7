"""Answers about a segmented image, in each format."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from PIL import Image

from swinseg.predictor.segmentation import Segmentation
from swinseg.visualization.areas import class_shares
from swinseg.visualization.palette import Palette
from swinseg.visualization.png_files import indexed_image


class Format(str, Enum):
    """Of an answer."""

    JSON = 'json'
    PNG = 'png'
    OVERLAY = 'overlay'
    GEOJSON = 'geojson'


@dataclass(frozen=True, eq=False)
class Answer:
    """The content of an answer, and its type in HTTP's sense."""

    content: bytes
    media_type: str


def describe_classes(classes: tuple[str, ...], palette: Palette) -> list[dict[str, Any]]:
    """Return ``id``, ``name`` and ``color`` (``#rrggbb``) of each class."""
    return [
        {'id': i, 'name': name, 'color': '#' + bytes(color).hex()}
        for i, (name, color) in enumerate(zip(classes, palette, strict=True))
    ]


def make_answer(
    segmentation: Segmentation, kind: Format, *, seconds: Callable[[], float]
) -> Answer:
    """Bring a segmentation, with its confidence, into a format.

    Args:
        segmentation: with its confidence.
        kind: ``JSON`` for all that a page needs, ``PNG`` for the labels with their palette, ``OVERLAY`` for the
            image with colors and a legend, ``GEOJSON`` for polygons in pixel coordinates.
        seconds: tells how long the answer has taken so far.
    """
    if kind is Format.PNG:
        return Answer(_labels_png(segmentation), 'image/png')
    if kind is Format.OVERLAY:
        return Answer(_png(Image.fromarray(segmentation.overlay())), 'image/png')
    if kind is Format.GEOJSON:
        return Answer(_json(segmentation.to_geojson()), 'application/geo+json')
    height, width = segmentation.labels.shape
    content = {
        'width': width,
        'height': height,
        'classes': _classes_present(segmentation),
        'labels': _base64(_labels_png(segmentation)),
        'confidence': _base64(_png(Image.fromarray(segmentation.confidence_levels(np.uint8)))),
        'seconds': round(seconds(), 4),
    }
    return Answer(_json(content), 'application/json')


def _classes_present(segmentation: Segmentation) -> list[dict[str, Any]]:
    """Describe the classes present, each with its share of the ``area``, the largest first."""
    classes = describe_classes(segmentation.classes, segmentation.palette)
    count = len(classes)
    share = class_shares(segmentation.labels, count, ignore_index=count)
    order = np.argsort(-share, kind='stable')
    return [{**classes[i], 'area': float(share[i])} for i in order if share[i] > 0]


def _labels_png(segmentation: Segmentation) -> bytes:
    return _png(indexed_image(segmentation.labels, segmentation.palette))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format='PNG')
    return buffer.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode('ascii')


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(',', ':')).encode()
