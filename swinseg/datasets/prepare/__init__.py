"""Datasets of other layouts made into the plain one that :class:`~swinseg.datasets.folder.FolderDataset` reads."""

from swinseg.datasets.prepare.ade20k import prepare_ade20k
from swinseg.datasets.prepare.coco import from_coco
from swinseg.datasets.prepare.command_line import LAYOUTS
from swinseg.datasets.prepare.cvat import from_cvat
from swinseg.datasets.prepare.known import from_cityscapes, from_color_masks
from swinseg.datasets.prepare.labelme import from_labelme
from swinseg.datasets.prepare.layout import Written, summary, write_dataset
from swinseg.datasets.prepare.source import PrepareError, Sample, Source
from swinseg.datasets.prepare.supervisely import from_supervisely
from swinseg.datasets.prepare.voc import from_voc

__all__ = [
    'LAYOUTS',
    'PrepareError',
    'Sample',
    'Source',
    'Written',
    'from_cityscapes',
    'from_coco',
    'from_color_masks',
    'from_cvat',
    'from_labelme',
    'from_supervisely',
    'from_voc',
    'prepare_ade20k',
    'summary',
    'write_dataset',
]
