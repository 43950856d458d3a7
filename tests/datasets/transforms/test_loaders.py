"""What the checks read an image with: the pipeline's own loader."""

import types

import mmcv
import numpy as np
import pytest
import rasterio
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import BaseCDDataset
from mmseg.datasets.transforms import LoadMultipleRSImageFromFile

from support.encoded_images import jpegs
from swinseg.datasets import DataError, FolderDataset
from swinseg.datasets.check.before_training import check_before_training
from swinseg.datasets.check.listing import list_split
from swinseg.datasets.check.pair import inspect_pair
from swinseg.datasets.transforms.loaders import image_loader, label_loader, load_image
from swinseg.datasets.transforms.loading import LoadImage, LoadLabel

LABEL = np.array([[0, 0, 0, 1], [0, 0, 1, 255]], np.uint8)
BANDS = np.random.default_rng(0).integers(0, 4000, (6, 2, 4), np.uint16)


def with_tifffile(**options):
    return LoadImageFromFile(color_type='unchanged', imdecode_backend='tifffile', **options)


@pytest.fixture
def deep_set(make_set):
    """A set of six-band TIFF files, and how a dataset of it is built."""
    root = make_set({'x': LABEL, 'y': LABEL}, image_suffix='.tif')
    for name in ('x', 'y'):
        with rasterio.open(
            root / 'images' / f'{name}.tif', 'w', driver='GTiff', height=2, width=4, count=6, dtype='uint16',
        ) as file:  # fmt: skip
            file.write(BANDS)

    def build(*steps):
        return FolderDataset(
            data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='annotations'),
            classes=['ground', 'thing'], pipeline=[*steps, LoadLabel()],
        )  # fmt: skip

    return build


@pytest.fixture
def tifffile(monkeypatch):
    """What mmcv does with the package of this name, which takes the file's own order of bands."""

    def imread(buffer):
        with rasterio.MemoryFile(buffer.read()) as memory, memory.open() as file:
            return file.read().transpose(1, 2, 0)

    monkeypatch.setattr(mmcv.image.io, 'tifffile', types.SimpleNamespace(imread=imread))


@pytest.mark.parametrize('loader', [with_tifffile, lambda: LoadImage(color_type='unchanged')])
def test_six_bands__are_whole_where_the_pipeline_reads_them(deep_set, tifffile, loader):
    dataset = deep_set(loader())
    split = list_split('train', dataset)
    report = check_before_training([split])
    assert report.splits['train'].classes.pixels.tolist() == [10, 4]
    facts = inspect_pair(split.jobs[0], split.loading)
    assert facts.problems == ()
    np.testing.assert_allclose(facts.image.mean, BANDS.mean((1, 2)))
    np.testing.assert_allclose(facts.image.std, BANDS.std((1, 2)))


def test_six_bands__of_a_loader_of_three(deep_set):
    message = (
        r'x\.tif has 6 bands and does not say .* LoadImage\(bands=\[1, 2, 3, 4, 5, 6\]\) gives all'
    )
    with pytest.raises(DataError, match=message):
        check_before_training([list_split('train', deep_set(LoadImage()))])
    # mmcv's own says nothing but that an attribute is missing.
    with pytest.raises(DataError, match=message):
        check_before_training([list_split('train', deep_set(LoadImageFromFile()))])


def test_a_decoder_that_is_not_installed(deep_set, monkeypatch):
    monkeypatch.setattr(mmcv.image.io, 'tifffile', None)
    with pytest.raises(
        DataError, match=r"imdecode_backend='tifffile', whose .*: pip install tifffile"
    ):
        check_before_training([list_split('train', deep_set(with_tifffile()))])


class LoadNothing(BaseTransform):
    """A loader of someone's own."""

    def __init__(self, result):
        self.result = result

    def transform(self, results):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ('result', 'message'),
    [
        (None, 'it gives no image'),
        ({'img': None}, 'it gives no image'),
        (RuntimeError('no band 7'), 'RuntimeError: no band 7'),
    ],
)
def test_load_image__a_loader_that_fails(result, message):
    with pytest.raises(DataError, match=rf'image a\.tif is not read by LoadNothing, .*{message}'):
        load_image(LoadNothing(result), {'img_path': 'a.tif'})


@pytest.mark.parametrize('error', [MemoryError(), RuntimeError('std::bad_alloc')])
def test_load_image__too_little_memory_is_said_as_by_the_loader_of_swinseg(error):
    with pytest.raises(DataError, match=r'^image a\.tif needs more memory to be decoded than'):
        load_image(LoadNothing(error), {'img_path': 'a.tif'})


def test_load_image__mmcv_fills_what_is_cut_off_with_gray(tmp_path, photo):
    path = tmp_path / 'a.jpg'
    data = jpegs(photo)['plain']
    path.write_bytes(data)
    info = {'img_path': str(path)}
    assert load_image(LoadImageFromFile(), info)['ori_shape'] == photo.shape[:2]
    assert info == {'img_path': str(path)}
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r'a\.jpg is truncated'):
        load_image(LoadImageFromFile(), info)


def test_loaders__are_the_pipelines_own(deep_set):
    label = LoadLabel(backend_args=dict(backend='local'))
    drawn = LoadImage(color_type='color', reduced_for=dict(scale=(8, 8), ratio_range=(1.0, 2.0)))
    dataset = deep_set(label, drawn, with_tifffile())
    for wrapped in (dataset, RepeatDataset(dataset, 2), ConcatDataset([dataset, dataset])):
        assert image_loader(wrapped).reduced_for is None
        assert label_loader(wrapped) is label
    assert isinstance(image_loader(deep_set()), LoadImage)


class Gdal:
    """What mmseg calls of GDAL's own package, which has no wheels, by rasterio's GDAL."""

    def __init__(self, file):
        self._file = file

    @classmethod
    def Open(cls, path):  # noqa: N802
        return cls(rasterio.open(path))

    def ReadAsArray(self):  # noqa: N802
        return self._file.read()


def test_two_images_of_a_place__are_loaded_together(tmp_path, monkeypatch):
    """Mmseg's set for the detection of changes, and its loader."""
    monkeypatch.setattr('mmseg.datasets.transforms.loading.gdal', Gdal)
    for folder, pixels in (('before', BANDS), ('after', BANDS + 1)):
        (tmp_path / folder).mkdir()
        with rasterio.open(
            tmp_path / folder / 'x.tif',
            'w',
            driver='GTiff',
            height=2,
            width=4,
            count=6,
            dtype='uint16',
        ) as file:
            file.write(pixels)
    dataset = BaseCDDataset(
        data_root=str(tmp_path), data_prefix=dict(img_path='before', img_path2='after'),
        img_suffix='.tif', img_suffix2='.tif', metainfo=dict(classes=['same', 'changed']),
        pipeline=[LoadMultipleRSImageFromFile()],
    )  # fmt: skip
    split = list_split('train', dataset)
    facts = inspect_pair(split.jobs[0], split.loading)
    assert facts.problems == ()
    assert facts.image.shape == (2, 4)
    assert np.allclose(facts.image.mean, BANDS.mean(axis=(1, 2)))
    (tmp_path / 'after' / 'x.tif').unlink()
    (problem,) = inspect_pair(split.jobs[0], split.loading).problems
    assert (
        'is not read by LoadMultipleRSImageFromFile, which loads it in the pipeline'
        in problem.sentence
    )
