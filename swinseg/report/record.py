"""Record of an evaluation: everything that its report shows, and its folder on disk.

The folder holds ``record.json`` (this module's dataclasses), ``images.csv`` (one line per image, for a
spreadsheet), and the labels of each image as PNG in ``predictions/`` and ``truths/``. A record is small: what
it says of an image are counts, and pictures are read from the folder when they are drawn.

Shapes: K = classes; N = images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swinseg.datasets.labels.dtype import label_dtype
from swinseg.evaluation.bootstrap import Bootstrap
from swinseg.evaluation.boundary import BoundaryCounts
from swinseg.evaluation.calibration import Calibration
from swinseg.evaluation.confusion import Matrix
from swinseg.evaluation.iou_metric import SparseMatrix, add_sparse
from swinseg.evaluation.object_size import ObjectSizes
from swinseg.evaluation.report import Report
from swinseg.visualization.palette import Palette


@dataclass(frozen=True)
class ImageRecord:
    """What is known of one image.

    Attributes:
        index: its place in the dataset, from 0.
        image: path of the photograph.
        label: path of the annotation file.
        height: of the labels, in pixels.
        width: of the labels, in pixels.
        counts: non-zero entries of its (K, K) confusion matrix: flat indices, values.
        accuracy: share of right pixels in [0, 1]; nan where no pixel counts.
        mean_iou: mean IoU in [0, 1] over the classes in its label or prediction; nan where no pixel counts.
        boundary_iou: mean boundary IoU likewise.
        confidence: mean confidence of the counted pixels in [0, 1]; nan where the model gave none.
    """

    index: int
    image: str
    label: str
    height: int
    width: int
    counts: SparseMatrix
    accuracy: float
    mean_iou: float
    boundary_iou: float
    confidence: float

    def matrix(self, num_classes: int) -> Matrix:
        """Return the (K, K) int64 confusion matrix, ``[label, prediction]``."""
        return add_sparse([self.counts], num_classes)

    @property
    def prediction_file(self) -> str:
        """The predicted labels in the report's folder; see :func:`read_labels`."""
        return f'predictions/{self.index:06d}.png'

    @property
    def truth_file(self) -> str:
        """The true labels in the report's folder; see :func:`read_labels`."""
        return f'truths/{self.index:06d}.png'


@dataclass(frozen=True)
class EvaluationRecord:
    """Figures of one evaluation, and of each of its images.

    Attributes:
        config: path of the config.
        checkpoint: path or address of the weights.
        dataset: type of the test set, such as ``FolderDataset``.
        protocol: scales, flips, window and stride of the predictions, in words.
        date: when the evaluation ended, ISO 8601 with time zone.
        seconds: wall time of the predictions, loading and measuring included.
        versions: package name -> version.
        palette: (K, 3) uint8 RGB.
        report: classes, (K, K) confusion matrix, headline (percent) and rates per class ([0, 1], nan where
            undefined) with the columns IoU, Acc, Fscore, Precision, Recall.
        bootstrap: intervals over images.
        boundary: pixels along the contours, and boundary IoU per class.
        object_sizes: number and IoU of objects by class and size.
        calibration: pixels by confidence; None where the model gave no confidences (test-time augmentation,
            another segmentor than ``SwinSegmentor``).
        images: N records in the dataset's order.
    """

    config: str
    checkpoint: str
    dataset: str
    protocol: str
    date: str
    seconds: float
    versions: dict[str, str]
    palette: Palette
    report: Report
    bootstrap: Bootstrap
    boundary: BoundaryCounts
    object_sizes: ObjectSizes
    calibration: Calibration | None
    images: tuple[ImageRecord, ...]

    @property
    def ignored_value(self) -> int:
        """What stands for ignored pixels in the PNGs of the true labels."""
        return ignored_value(len(self.report.classes))

    def worst_first(self) -> list[ImageRecord]:
        """Return the images from the lowest mean IoU to the highest, without those where nothing counts."""
        rated = [image for image in self.images if not np.isnan(image.mean_iou)]
        return sorted(rated, key=lambda image: image.mean_iou)


def ignored_value(num_classes: int) -> int:
    """Return what stands for ignored pixels in a PNG of true labels: 255, or 65535 where 255 is a class."""
    return int(np.iinfo(label_dtype(num_classes, reserved=1)).max)
