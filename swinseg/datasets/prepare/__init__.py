"""Datasets of other layouts made into the plain one that :class:`~swinseg.datasets.folder.FolderDataset` reads."""

from swinseg.datasets.prepare.known import from_cityscapes, from_color_masks, from_voc
from swinseg.datasets.prepare.layout import Written, summary, write_dataset
from swinseg.datasets.prepare.source import PrepareError, Sample, Source

__all__ = [
    'PrepareError',
    'Sample',
    'Source',
    'Written',
    'from_cityscapes',
    'from_color_masks',
    'from_voc',
    'summary',
    'write_dataset',
]
