"""Datasets, transforms and the embedded mini set; importing this registers them with mmseg."""

from swinseg.datasets.ade20k import ADE20K
from swinseg.datasets.checked import CheckedDataset
from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.sampling import ResumableSampler, SampleKey, SeededDataset
from swinseg.datasets.transforms.loading import LoadImage, LoadLabel
from swinseg.datasets.transforms.packing import PackPlanes
from swinseg.datasets.transforms.photometric import TablePhotoMetricDistortion
from swinseg.datasets.transforms.resize_crop import RandomResizeCrop
from swinseg.errors import DataError

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
