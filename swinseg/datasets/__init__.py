"""Datasets, transforms and the embedded mini set; importing this registers them with mmseg."""

from swinseg.datasets.ade20k import ADE20K
from swinseg.datasets.checked import CheckedDataset
from swinseg.datasets.errors import DataError
from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.packing import PackPlanes
from swinseg.datasets.photometric import TablePhotoMetricDistortion
from swinseg.datasets.resize_crop import RandomResizeCrop
from swinseg.datasets.sampling import ResumableSampler, SampleKey, SeededDataset
from swinseg.datasets.transforms import LoadImage, LoadLabel

__all__ = [
    'ADE20K',
    'CheckedDataset',
    'DataError',
    'FolderDataset',
    'LoadImage',
    'LoadLabel',
    'PackPlanes',
    'RandomResizeCrop',
    'ResumableSampler',
    'SampleKey',
    'SeededDataset',
    'TablePhotoMetricDistortion',
]
