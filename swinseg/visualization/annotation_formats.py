"""Label maps as files that annotation tools import, so that people can correct a model's masks there.

CVAT ("CVAT 1.1" of images) and Label Studio (predictions of brush labels) get exact masks, one for each class;
YOLO (Ultralytics) gets polygons. Pixels that are background, or were rejected as too uncertain, are left for
people to label, and the classes of these names are none of the tools' labels.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import yaml
from numpy.typing import NDArray

from swinseg.datasets.prepare.annotations import is_background
from swinseg.datasets.prepare.brush_rle import encode_brush
from swinseg.visualization.palette import PaletteLike, check_palette
from swinseg.visualization.polygon_formats import with_cuts
from swinseg.visualization.polygons import Labels, Polygon

# As the predictor calls pixels of which it is too uncertain.
_REJECTED = 'rejected'
# The names that Label Studio's labeling config and its annotations have in common.
_CONTROL, _PICTURE = 'label', 'image'


def labels_of_tools(classes: Sequence[str]) -> dict[int, str]:
    """Return the classes that are labels in annotation tools, by their index."""
    return {
        index: name
        for index, name in enumerate(classes)
        if not is_background(name) and name != _REJECTED
    }


def to_yolo(polygons: Sequence[Polygon], *, classes: Sequence[str], size: tuple[int, int]) -> str:
    """Return the lines of a label file of YOLO: a class and the corners of a polygon, from 0 to 1.

    Args:
        polygons: of one label map. YOLO's know no holes, so a hole becomes part of the exterior by a cut of no
            width.
        classes: K names; the numbers in the lines are those of :func:`yolo_data`.
        size: (height, width) of the picture.
    """
    numbers = {index: number for number, index in enumerate(labels_of_tools(classes))}
    scale = 1 / np.array(size[::-1])
    lines = []
    for polygon in polygons:
        if polygon.label in numbers:
            corners = (with_cuts(polygon) * scale).ravel()
            lines.append(
                ' '.join([str(numbers[polygon.label]), *(f'{each:.8g}' for each in corners)])
            )
    return ''.join(f'{line}\n' for line in lines)


def yolo_data(classes: Sequence[str], *, images: str = 'images') -> str:
    """Return ``data.yaml`` for label files of :func:`to_yolo` that lie in ``labels`` beside ``images``."""
    names = dict(enumerate(labels_of_tools(classes).values()))
    return yaml.safe_dump(
        dict(path='.', train=images, val=images, names=names), sort_keys=False, allow_unicode=True
    )


def cvat_image(labels: Labels, *, classes: Sequence[str], name: str) -> Element:
    """Return what CVAT's XML says of an image: a mask for each class present.

    Args:
        labels: (H, W) class indices.
        classes: K names, those of the labels of CVAT's task.
        name: of the image, as in the task.
    """
    height, width = labels.shape
    image = Element('image', name=name, width=str(width), height=str(height))
    for label, mask in _masks(labels, classes):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        SubElement(
            image, 'mask', label=label, source='auto', occluded='0', z_order='0',
            rle=', '.join(map(str, _runs(part))), left=str(columns[0]), top=str(rows[0]),
            width=str(part.shape[1]), height=str(part.shape[0]),
        )  # fmt: skip
    return image


def to_cvat(images: Iterable[Element], *, classes: Sequence[str], palette: PaletteLike) -> str:
    """Return an XML file of CVAT for images, version 1.1, in the order of the images.

    Args:
        images: from :func:`cvat_image`; they get numbers.
        classes: K names.
        palette: K colors.
    """
    colors = check_palette(palette, num_classes=len(classes)).tolist()
    root = Element('annotations')
    SubElement(root, 'version').text = '1.1'
    labels = SubElement(SubElement(SubElement(root, 'meta'), 'task'), 'labels')
    for index, name in labels_of_tools(classes).items():
        label = SubElement(labels, 'label')
        SubElement(label, 'name').text = name
        SubElement(label, 'color').text = _hex(colors[index])
        SubElement(label, 'attributes')
    for number, image in enumerate(images):
        image.set('id', str(number))
        root.append(image)
    ElementTree.indent(root)
    return ElementTree.tostring(root, 'unicode', xml_declaration=True) + '\n'


def label_studio_task(
    labels: Labels,
    *,
    classes: Sequence[str],
    address: str,
    confidence: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """Return a task of Label Studio with a prediction: a brush mask for each class present.

    Args:
        labels: (H, W) class indices.
        classes: K names.
        address: of the image, where Label Studio finds it.
        confidence: (H, W) in [0, 1]; its mean becomes the score.

    Returns:
        What ``json.dumps`` takes; a file of Label Studio is a list of these, for a project with the labeling
        config of :func:`label_studio_config`.
    """
    height, width = labels.shape
    results = [
        {
            'id': uuid.uuid5(uuid.NAMESPACE_URL, f'{address} {label}').hex[:10],
            'type': 'brushlabels', 'from_name': _CONTROL, 'to_name': _PICTURE,
            'original_width': width, 'original_height': height, 'image_rotation': 0,
            'value': {'format': 'rle', 'rle': encode_brush(mask), 'brushlabels': [label]},
        }
        for label, mask in _masks(labels, classes)
    ]  # fmt: skip
    prediction: dict[str, Any] = {'model_version': 'swinseg', 'result': results}
    if confidence is not None:
        prediction['score'] = round(float(confidence.mean()), 4)
    return {'data': {_PICTURE: address}, 'predictions': [prediction]}


def label_studio_config(*, classes: Sequence[str], palette: PaletteLike) -> str:
    """Return the labeling config of a Label Studio project that predictions of :func:`label_studio_task` fit."""
    colors = check_palette(palette, num_classes=len(classes)).tolist()
    view = Element('View')
    SubElement(view, 'Image', name=_PICTURE, value=f'${_PICTURE}', zoom='true')
    brush = SubElement(view, 'BrushLabels', name=_CONTROL, toName=_PICTURE)
    for index, name in labels_of_tools(classes).items():
        SubElement(brush, 'Label', value=name, background=_hex(colors[index]))
    ElementTree.indent(view)
    return ElementTree.tostring(view, 'unicode') + '\n'


def _masks(labels: Labels, classes: Sequence[str]) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    """Yield name and (H, W) mask of the classes present."""
    present = np.unique(labels)
    for index, name in labels_of_tools(classes).items():
        if index in present:
            yield name, labels == index


def _runs(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of 0 and 1 in turn, along the rows."""
    flat = np.concatenate([[False], mask.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    lengths: list[int] = np.diff(changes, prepend=0, append=mask.size).tolist()
    return lengths


def _hex(color: Sequence[int]) -> str:
    red, green, blue = color
    return f'#{red:02x}{green:02x}{blue:02x}'
