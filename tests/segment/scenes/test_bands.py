"""Scenes of four bands: a model is shown those of its training, in its order, or a sentence says why not."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

from support import tiny_checkpoint
from swinseg.errors import DataError
from swinseg.inference import RasterError
from swinseg.predictor import Predictor, PredictorError
from swinseg.segment import find_sources, segment_all
from swinseg.segment.scenes.scene import segment_scene

NAMES = ('red', 'green', 'blue', 'nir')
H, W = 90, 110
FOUR = np.kron(
    np.random.default_rng(3).integers(1, 4000, (9, 11, 4)), np.ones((10, 10, 1), int)
).astype(np.uint16)


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
    """Of a checkpoint that alone says which bands the model is shown, and what their values mean."""
    root = tmp_path_factory.mktemp('four_bands')
    cfg = tiny_checkpoint.config(root, mode='slide', crop_size=(64, 64), stride=(48, 40))
    cfg.model.backbone.in_channels = 4
    cfg.model.data_preprocessor.update(mean=[120.0, 110, 100, 90], std=[60.0, 55, 50, 70])
    load = dict(type='LoadImage', bands=list(NAMES), value_range=[0, 4000])
    cfg.test_dataloader.dataset.pipeline = [
        load,
        dict(type='LoadLabel'),
        dict(type='PackSegInputs'),
    ]
    return Predictor.from_checkpoint(tiny_checkpoint.save(root / 'a.pth', cfg), device='cpu')


def write(path, pixels, names=None, **options):
    placed = dict(crs=CRS.from_epsg(25832), transform=from_origin(500_000, 5_700_000, 10, 10))
    with rasterio.open(
        path, 'w', driver='GTiff', height=H, width=W, count=pixels.shape[2], dtype=pixels.dtype,
        **{**placed, **options},
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))
        if names:
            file.descriptions = names
    return path


def labels_of(predictor, path, **options):
    paths = segment_scene(
        predictor, path, path.parent / f'{path.stem}_out', blend='uniform', **options
    ).paths
    with rasterio.open(paths['labels']) as file:
        assert file.crs == CRS.from_epsg(25832)
        return file.read(1)


def test_bands__are_found_wherever_they_are(predictor, tmp_path):
    assert predictor.bands == NAMES
    expected = labels_of(predictor, write(tmp_path / 'plain.tif', FOUR))
    assert len(np.unique(expected)) > 1
    mixed = np.dstack([np.zeros_like(FOUR[..., :1]), FOUR[..., [3, 2, 1, 0]]])
    named = write(tmp_path / 'named.tif', mixed, ('Coastal', 'NIR', 'Blue', 'Green', 'Red'))
    numbered = write(tmp_path / 'numbered.tif', mixed)
    (tmp_path / 'tile').mkdir()
    for band, name in enumerate(NAMES):
        write(tmp_path / 'tile' / f'T32_{name}_10m.tif', FOUR[..., [band]])
    for path, options in (
        (named, {}),
        (numbered, {'bands': (5, 4, 3, 2)}),
        (tmp_path / 'tile' / 'T32_red_10m.tif', {}),
    ):
        np.testing.assert_array_equal(labels_of(predictor, path, **options), expected, path.name)
    # So they are by the model's pipeline, which slides the same windows.
    for image in (str(named), FOUR):
        found = predictor(image)
        assert (found.labels == expected).mean() > 0.999
        assert found.image.shape == (H, W, 3)
    np.testing.assert_array_equal(found.image[..., 0], np.rint(FOUR[..., 0] / 4000 * 255))


@pytest.mark.parametrize(
    ('pixels', 'names', 'options', 'sentence'),
    [
        (FOUR[..., :3], None, {}, r'has 3 bands without names, but the model is shown 4: red, green, blue, nir; '),
        (FOUR, ('red', 'green', 'blue', 'swir'), {}, 'has no band named nir, .* names its bands red'),
        (np.zeros_like(FOUR), None, {'nodata': 0}, 'has no data in any of its 90 x 110 pixels'),
        (FOUR.astype(np.float32) * np.nan, None, {}, 'has no data in any of its'),
    ],
    ids=['three-bands', 'another-band', 'nodata-everywhere', 'nan-everywhere'],
)  # fmt: skip
def test_bands__that_are_not_there(predictor, tmp_path, pixels, names, options, sentence):
    with pytest.raises((RasterError, DataError), match=sentence) as caught:
        segment_scene(predictor, write(tmp_path / 'a.tif', pixels, names, **options), tmp_path)
    assert 'a.tif' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['a.tif']


@pytest.mark.parametrize('array', [FOUR[..., :3], FOUR[..., 0], FOUR[:0]])
def test_bands__of_arrays(predictor, array):
    with pytest.raises(PredictorError, match=r'must be \(height, width, 4\)'):
        predictor(array)


def test_bands__of_a_file_without_a_place(predictor, tmp_path):
    """It is a scene too: pixels without data have no class, and a file of such alone is refused."""
    half = FOUR.copy()
    half[:, :50] = 0
    (tmp_path / 'in').mkdir()
    for name, pixels in (('half', half), ('empty', np.zeros_like(FOUR))):
        write(tmp_path / 'in' / f'{name}.tif', pixels, NAMES, nodata=0, crs=None, transform=None)
    outcome = segment_all(
        predictor, find_sources([tmp_path / 'in'], out=tmp_path / 'out'), tmp_path / 'out'
    )
    with rasterio.open(tmp_path / 'out' / 'half_labels.tif') as file:
        labels = file.read(1)
    assert (labels[:, :50] == 255).all()
    assert (labels[:, 50:] < 255).all()
    ((path, sentence),) = outcome.skipped.items()
    assert path.name == 'empty.tif'
    assert 'has no data in any of its 90 x 110 pixels' in sentence
    with pytest.raises(DataError, match='has no data in any of its 90 x 110 pixels'):
        predictor(path)
