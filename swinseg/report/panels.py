"""The pictures of one evaluated image: photograph, truth, prediction, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np

from swinseg.datasets.files.picture import read_picture
from swinseg.evaluation.iou_metric import add_sparse
from swinseg.report.html_page import picture, swatch
from swinseg.report.record import EvaluationRecord, ImageRecord
from swinseg.report.storage import read_labels
from swinseg.visualization.colorize import RGBImage, colorize
from swinseg.visualization.resize import fit, resize_labels

ERROR_COLOR = 255, 92, 0
"""Wrong pixels, (R, G, B): told from dark gray by readers of any color vision."""

_LONGER_SIDE = 420
_DIMMED = 0.45  # of the photograph's light, under the errors


@dataclass(frozen=True)
class Panels:
    """Four (H, W, 3) uint8 RGB images of the same size.

    Attributes:
        photo: the photograph.
        truth: the label's colors; ignored pixels are black.
        prediction: the prediction's colors, also where the label is ignored.
        error: the photograph in dark gray, wrong pixels in ``ERROR_COLOR``, ignored ones black.
    """

    photo: RGBImage
    truth: RGBImage
    prediction: RGBImage
    error: RGBImage


def draw_panels(record: EvaluationRecord, image: ImageRecord, folder: Path) -> Panels:
    """Draw an image and what was made of it, its longer side at most 420 pixels.

    Args:
        record: what the image belongs to.
        image: one of its images, whose photograph is read again.
        folder: the report's.

    Raises:
        DataError: the photograph is no longer there.
        ReportError: its labels are no longer in the folder.
    """
    label = read_labels(folder, image.truth_file)
    prediction = read_labels(folder, image.prediction_file)
    photo = read_picture(image.image)
    side = min(_LONGER_SIDE, max(label.shape))
    small, truth = fit(photo, label, side)
    predicted = resize_labels(prediction, small.shape[:2])
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    error = cv2.cvtColor((gray * _DIMMED).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    error[truth != predicted] = ERROR_COLOR
    error[truth == record.ignored_value] = 0
    return Panels(
        small,
        colorize(truth, record.palette, ignore_index=record.ignored_value),
        colorize(predicted, record.palette, ignore_index=record.ignored_value),
        error,
    )


def anchor(image: ImageRecord) -> str:
    """Return the id of an image's figure in a page."""
    return f'image-{image.index}'


def example(record: EvaluationRecord, image: ImageRecord, folder: Path) -> str:
    """Return the figure of one image: four pictures, its figures, and the classes in it as a legend."""
    panels = draw_panels(record, image, folder)
    name = Path(image.image).name
    return figure(
        image,
        f'mIoU {100 * image.mean_iou:.1f}%, {100 * image.accuracy:.1f}% of the pixels right',
        {
            'photograph': picture(panels.photo, f'{name}: photograph'),
            'truth': picture(panels.truth, f'{name}: true labels', lossless=True),
            'prediction': picture(panels.prediction, f'{name}: predicted labels', lossless=True),
            'errors (orange)': picture(panels.error, f'{name}: wrong pixels'),
        },
        legend(record, image),
    )


def figure(image: ImageRecord, caption: str, pictures: Mapping[str, str], below: str) -> str:
    """Return a figure of several pictures side by side.

    Args:
        image: names the figure.
        caption: plain text.
        pictures: what each is called (plain text) -> its HTML.
        below: HTML under the pictures.
    """
    items = ''.join(
        f'<li>{html}<span>{escape(name)}</span></li>' for name, html in pictures.items()
    )
    return (
        f'<figure id="{anchor(image)}"><figcaption><b>{escape(Path(image.image).name)}</b>: {escape(caption)}'
        f'</figcaption><ul class="panels">{items}</ul>{below}</figure>'
    )


def legend(record: EvaluationRecord, *images: ImageRecord) -> str:
    """Return the colors and names of the classes in the labels or predictions of some images as a list."""
    names = record.report.classes
    matrix = add_sparse([image.counts for image in images], len(names))
    present = np.flatnonzero(matrix.sum(0) + matrix.sum(1)).tolist()
    items = (f'<li>{swatch(record.palette[index])}{escape(names[index])}</li>' for index in present)
    return f'<ul class="legend">{"".join(items)}</ul>'
