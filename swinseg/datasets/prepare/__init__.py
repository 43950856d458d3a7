"""Datasets of other layouts made into the plain one that :class:`~swinseg.datasets.folder.FolderDataset` reads."""

from swinseg.datasets.prepare.ade20k import prepare_ade20k
from swinseg.datasets.prepare.command_line import LAYOUTS
from swinseg.datasets.prepare.formats.coco import from_coco
from swinseg.datasets.prepare.formats.coco_panoptic import from_coco_panoptic
from swinseg.datasets.prepare.formats.cvat import from_cvat
from swinseg.datasets.prepare.formats.datumaro import from_datumaro
from swinseg.datasets.prepare.formats.label_studio import from_label_studio
from swinseg.datasets.prepare.formats.labelme import from_labelme
from swinseg.datasets.prepare.formats.mapillary import from_mapillary
from swinseg.datasets.prepare.formats.roboflow import from_roboflow
from swinseg.datasets.prepare.formats.supervisely import from_supervisely
from swinseg.datasets.prepare.formats.via import from_via
from swinseg.datasets.prepare.formats.voc import from_voc
from swinseg.datasets.prepare.formats.yolo import from_yolo
from swinseg.datasets.prepare.known import from_cityscapes, from_color_masks
from swinseg.datasets.prepare.layout import Written, summary, write_dataset
from swinseg.datasets.prepare.source import PrepareError, Sample, Source

__all__ = [
    'LAYOUTS',
    'PrepareError',
    'Sample',
    'Source',
    'Written',
    'from_cityscapes',
    'from_coco',
    'from_coco_panoptic',
    'from_color_masks',
    'from_cvat',
    'from_datumaro',
    'from_label_studio',
    'from_labelme',
    'from_mapillary',
    'from_roboflow',
    'from_supervisely',
    'from_via',
    'from_voc',
    'from_yolo',
    'prepare_ade20k',
    'summary',
    'write_dataset',
]
