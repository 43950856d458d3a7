"""Scenes of all formats, without and with interruptions."""

import json
import os
import random
import signal

import numpy as np
import pytest
import rasterio
import torch
from mmseg.models import EncoderDecoder
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import from_origin

from support import processes, tiny_checkpoint
from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import DataError
from swinseg.files import OutputError
from swinseg.inference import RasterError, SlideError, open_image
from swinseg.predictor import PredictOptions, Predictor, PredictorError
from swinseg.raster import writers as raster_writers
from swinseg.segment.scenes.scene import segment_scene
from swinseg.visualization.palette import VisualizationError

HEIGHT, WIDTH = 230, 170
TRANSFORM = from_origin(500_000, 5_700_000, 0.5, 0.5)
IDENTITY = {'checkpoint': 'tiny'}
CONFIDENCE = PredictOptions(confidence=True)


def coarse_noise(bands=3, dtype=np.uint8, top=256):
    cells = np.random.default_rng(5).integers(1, top, (HEIGHT // 10, WIDTH // 10, bands))
    return np.kron(cells, np.ones((10, 10, 1))).astype(dtype)


def with_value_range(predictor, setting, *, tta=False, **loading):
    load, pack = dict(type='LoadImage', **loading), dict(type='PackSegInputs')
    augment = dict(type='TestTimeAug', transforms=[[pack]])
    return Predictor(
        predictor.model,
        [load, pack],
        tta_pipeline=[load, augment] if tta else None,
        classes=predictor.classes,
        palette=predictor.palette,
        value_range=setting,
    )


def write_geotiff(path, pixels, **options):
    height, width, bands = pixels.shape
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=bands, dtype=pixels.dtype,
        crs=CRS.from_epsg(25832), transform=TRANSFORM, **options,
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))
    return path


@pytest.fixture
def geotiff(tmp_path):
    return write_geotiff(
        tmp_path / 'map.tif', coarse_noise(), tiled=True, blockxsize=64, blockysize=64
    )


@pytest.fixture
def png(tmp_path):
    path = tmp_path / 'street.png'
    Image.fromarray(coarse_noise()).save(path)
    return path


def labels_of_stock(predictor, pixels):
    """Return what mmseg's own sliding makes of (H, W, 3) RGB pixels in the model's windows."""
    model = predictor.model
    bgr = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
    with torch.inference_mode():
        inputs = model.data_preprocessor({'inputs': [bgr]}, False)['inputs']
        meta = dict(img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2])
        scores = EncoderDecoder.slide_inference(model, inputs, [meta])
    return scores[0].argmax(0).numpy()


def assert_same_labels(found, expected):
    """Equal scores may round to either label."""
    assert len(np.unique(expected)) > 2
    assert (found == expected).mean() > 0.9999


@pytest.mark.parametrize(
    ('pixels', 'options', 'bands'),
    [
        (coarse_noise(), dict(tiled=True, blockxsize=64, blockysize=64, compress='deflate'), None),
        (coarse_noise(4, np.uint16, 4000), dict(photometric='minisblack'), (3, 1, 2)),
        (coarse_noise(1, np.float32), dict(), None),
    ],
    ids=['tiled', 'striped-16-bit-of-4-bands', 'one-float-band'],
)
def test_geotiff__keeps_its_place_and_has_the_labels_of_the_whole_array(
    predictor, tmp_path, pixels, options, bands
):
    predictor = with_value_range(predictor, [0, 4000])
    path = write_geotiff(tmp_path / 'map.tif', pixels, **options)
    result = segment_scene(predictor, path, tmp_path / 'out', bands=bands, blend='uniform')
    with rasterio.open(result.paths['labels']) as file:
        labels = file.read(1)
        assert file.transform == TRANSFORM
        assert file.crs == CRS.from_epsg(25832)
        assert file.nodata == 255
        assert file.dtypes == ('uint8',)
        colors = [file.colormap(1)[i][:3] for i in range(4)]
    assert colors == [tuple(color) for color in tiny_checkpoint.PALETTE]
    opened = open_image(path, bands=bands, value_range=ValueRange.of([0, 4000]))
    whole = opened.read(0, HEIGHT, 0, WIDTH)
    assert_same_labels(labels, labels_of_stock(predictor, whole))
    assert result.shape == (HEIGHT, WIDTH)
    assert result.paths['labels'].name == 'map_labels.tif'


def test_geotiff__of_16_bits_that_mean_nothing_is_refused(predictor, tmp_path):
    path = write_geotiff(tmp_path / 'map.tif', coarse_noise(3, np.uint16, 4000))
    with pytest.raises(
        DataError, match=r'map\.tif holds 16-bit values, .*--value-range to segment'
    ):
        segment_scene(predictor, path, tmp_path / 'out')


def test_geotiff__values_as_they_are_for_a_model_that_was_trained_on_them(predictor, tmp_path):
    """Its loader leaves them, and the picture to look at is stretched."""
    raw = with_value_range(predictor, None, color_type='unchanged')
    pixels = coarse_noise(3, np.float32, 250)
    path = write_geotiff(tmp_path / 'map.tif', pixels * 3)
    result = segment_scene(raw, path, tmp_path / 'out', blend='uniform')
    with rasterio.open(result.paths['labels']) as file:
        assert_same_labels(file.read(1), labels_of_stock(predictor, pixels * 3))
    overlay = np.array(Image.open(result.paths['overlay']))[:HEIGHT, :WIDTH]
    assert 60 < overlay.mean() < 200
    raw = with_value_range(predictor, None, color_type='unchanged', tta=True)
    with pytest.raises(RasterError, match=r'values of the file, .* leave --tta out'):
        segment_scene(raw, path, tmp_path / 'tta', PredictOptions(tta=True))


def test_png__is_what_the_predictor_makes_of_it_without_a_resize(predictor, png, tmp_path):
    """The predictor loads it by mmseg's pipeline, in BGR."""
    expected = predictor(png, confidence=True)
    result = segment_scene(predictor, png, tmp_path / 'out', CONFIDENCE, blend='uniform')
    assert_same_labels(np.array(Image.open(result.paths['labels'])), expected.labels)
    confidence = np.array(Image.open(result.paths['confidence']))
    assert np.abs(confidence - 255 * expected.confidence).max() < 0.6
    assert list(result.areas) == list(expected.areas())
    assert np.allclose(list(result.areas.values()), list(expected.areas().values()), atol=1e-3)
    np.testing.assert_array_equal(np.array(Image.open(result.paths['color'])), expected.color())


def test_npy__gives_npy(predictor, tmp_path):
    np.save(tmp_path / 'a.npy', coarse_noise())
    result = segment_scene(predictor, tmp_path / 'a.npy', tmp_path, blend='uniform')
    found = np.load(result.paths['labels'])
    assert_same_labels(found, labels_of_stock(predictor, coarse_noise()))


def test_nodata__is_marked_and_changes_no_other_label(predictor, tmp_path):
    pixels = coarse_noise()
    pixels[:100, :120] = 0
    whole = write_geotiff(tmp_path / 'whole.tif', pixels)
    holed = write_geotiff(tmp_path / 'holed.tif', pixels, nodata=0)
    paths = [
        segment_scene(predictor, path, tmp_path / 'out', CONFIDENCE).paths
        for path in (whole, holed)
    ]
    expected, found = (rasterio.open(each['labels']).read(1) for each in paths)
    missing = (pixels == 0).all(axis=2)
    assert (found[missing] == 255).all()
    np.testing.assert_array_equal(found[~missing], expected[~missing])
    confidence = rasterio.open(paths[1]['confidence'])
    assert confidence.nodata == 0
    np.testing.assert_array_equal(confidence.read(1) == 0, missing)
    areas = json.loads(paths[1]['areas'].read_text())
    assert areas['pixels_without_data'] == missing.sum()
    assert sum(areas['areas'].values()) == pytest.approx(1)
    color = np.array(Image.open(paths[1]['color']))
    assert (color[missing] == 0).all()


def test_reject_below__adds_a_label(predictor, png, tmp_path):
    expected = predictor(png, reject_below=0.5)
    options = PredictOptions(reject_below=0.5)
    result = segment_scene(predictor, png, tmp_path, options, blend='uniform')
    assert 0.05 < expected.areas()['rejected'] < 0.95
    assert_same_labels(np.array(Image.open(result.paths['labels'])), expected.labels)


def test_tta__averages_each_window(predictor, png, tmp_path):
    """In a window as large as the image."""
    expected = predictor(png, tta=True).labels
    options = PredictOptions(tta=True)
    result = segment_scene(predictor, png, tmp_path, options, window=256, stride=256)
    assert_same_labels(np.array(Image.open(result.paths['labels'])), expected)


def test_large_scene__has_small_pictures(predictor, tmp_path):
    np.save(tmp_path / 'wide.npy', np.tile(coarse_noise()[:40], (1, 30, 1)))
    result = segment_scene(predictor, tmp_path / 'wide.npy', tmp_path)
    width, height = Image.open(result.paths['color']).size
    assert 1700 <= width <= 2048
    assert height == 14


class StoppedError(Exception):
    """What ends the work in a test."""


def stop_after(row):
    def progress(done, total):
        if done > row:
            raise StoppedError

    return progress


def contents(result):
    return {kind: path.read_bytes() for kind, path in result.paths.items() if kind != 'areas'}


@pytest.mark.parametrize('row', [0, 47, 48, 130, 192, 229])
def test_interrupted__goes_on_and_ends_in_the_same_files(predictor, geotiff, tmp_path, row):
    options = dict(options=CONFIDENCE, model_identity=IDENTITY)
    expected = contents(segment_scene(predictor, geotiff, tmp_path / 'whole', **options))
    with pytest.raises(StoppedError):
        segment_scene(
            predictor, geotiff, tmp_path / 'out', progress=stop_after(row), **options
        )  # fmt: skip
    assert not list((tmp_path / 'out').glob('map_*'))
    calls = []
    result = segment_scene(
        predictor, geotiff, tmp_path / 'out', progress=lambda *rows: calls.append(rows), **options
    )
    assert result.first_row > row
    assert calls[0] == (result.first_row, HEIGHT)
    assert contents(result) == expected
    # Done: nothing is computed again, until something changes.
    again = segment_scene(predictor, geotiff, tmp_path / 'out', **options)
    assert again.first_row == HEIGHT
    assert again.areas == result.areas
    other = segment_scene(predictor, geotiff, tmp_path / 'out', stride=32, **options)
    assert other.first_row == 0


def _segment_until_killed(weights, scene, out, row):
    def progress(done, total):
        if done > row:
            os.kill(os.getpid(), signal.SIGKILL)

    raster_writers._BYTES_BETWEEN_RECORDS = 1
    predictor = Predictor.from_checkpoint(weights, device='cpu')
    segment_scene(predictor, scene, out, CONFIDENCE, model_identity=IDENTITY, progress=progress)


@pytest.mark.slow
def test_killed_at_a_random_row__ends_in_the_same_file(predictor, tiny_weights, geotiff, tmp_path):
    options = dict(options=CONFIDENCE, model_identity=IDENTITY)
    whole = segment_scene(predictor, geotiff, tmp_path / 'whole', **options)
    row = random.randrange(100, HEIGHT - 40)
    (done,) = processes.run(
        _segment_until_killed,
        tiny_weights,
        geotiff,
        tmp_path / 'out',
        row,
        count=1,
        folder=tmp_path,
    )
    assert done.code == -signal.SIGKILL, done.err
    assert not list((tmp_path / 'out').glob('map_*'))
    result = segment_scene(predictor, geotiff, tmp_path / 'out', **options)
    assert 0 < result.first_row < HEIGHT, row
    assert contents(result) == contents(whole), row
    assert not list((tmp_path / 'out').glob('.map_*.tif.partial.*'))


def test_without_an_identity__nothing_is_kept(predictor, geotiff, tmp_path):
    with pytest.raises(StoppedError):
        segment_scene(predictor, geotiff, tmp_path / 'out', progress=stop_after(100))
    assert list((tmp_path / 'out').iterdir()) == []


def test_one_writer_ahead_of_the_other(predictor, geotiff, tmp_path, monkeypatch):
    """A kill between the records of two files."""
    options = dict(options=CONFIDENCE, model_identity=IDENTITY)
    whole = segment_scene(predictor, geotiff, tmp_path / 'whole', **options)
    monkeypatch.setattr(raster_writers, '_SECONDS_BETWEEN_RECORDS', 0)
    with pytest.raises(StoppedError):
        segment_scene(predictor, geotiff, tmp_path / 'out', progress=stop_after(130), **options)
    record = tmp_path / 'out' / '.map_confidence.tif.partial.json'
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, 'rows_done': 48}))
    result = segment_scene(predictor, geotiff, tmp_path / 'out', **options)
    assert result.first_row == 48
    assert contents(result) == contents(whole)


def test_truncated_tiff__names_the_file(predictor, geotiff, tmp_path):
    geotiff.write_bytes(geotiff.read_bytes()[:60_000])
    with pytest.raises(RasterError, match=r'map\.tif cannot be read.*copy the file again'):
        segment_scene(predictor, geotiff, tmp_path / 'out')


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(window=64, stride=65), SlideError, "from 1 to the window's height, 64, but is 65"),
        (dict(blend='soft'), SlideError, "blend must be one of .*, but is 'soft'"),
        (dict(alpha=2), VisualizationError, 'alpha must lie between 0 and 1'),
        (dict(bands=(1,)), RasterError, 'takes images of 3 bands, but 1 bands'),
        (dict(bands=(1, 2, 9)), RasterError, 'bands must be numbers from 1 to 3'),
        (dict(max_memory=2**16), SlideError, 'allow more'),
        (
            dict(options=PredictOptions(probabilities=True)),
            PredictorError,
            r'map\.tif is segmented by windows, of which the probabilities .* take confidence$',
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_arguments__are_refused_before_any_work(
    predictor, geotiff, tmp_path, options, error, message
):
    with pytest.raises(error, match=message):
        segment_scene(predictor, geotiff, tmp_path / 'out', **options)
    assert not list(tmp_path.glob('out/*'))


def test_unwritable_output__says_where(predictor, geotiff, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        segment_scene(predictor, geotiff, tmp_path / 'file' / 'out')


def test_jpeg_with_a_world_file__keeps_its_place(predictor, tmp_path):
    """Labels are those of the same pixels without it, and lie where the image does."""
    Image.fromarray(coarse_noise()).save(tmp_path / 'plain.jpg', quality=95)
    (tmp_path / 'placed.jpg').write_bytes((tmp_path / 'plain.jpg').read_bytes())
    (tmp_path / 'placed.jgw').write_text('0.5\n0\n0\n-0.5\n500000.25\n5699999.75\n')
    (tmp_path / 'placed.prj').write_text(CRS.from_epsg(25832).to_wkt())
    plain, placed = (
        segment_scene(
            predictor, tmp_path / f'{name}.jpg', tmp_path / 'out', PredictOptions(confidence=True)
        )
        for name in ('plain', 'placed')
    )
    assert plain.paths['labels'].suffix == '.png'
    for kind in ('labels', 'confidence'):
        with rasterio.open(placed.paths[kind]) as file:
            assert (file.transform, file.crs) == (TRANSFORM, CRS.from_epsg(25832))
            np.testing.assert_array_equal(file.read(1), np.array(Image.open(plain.paths[kind])))


def test_georeference__another_one_is_another_job(predictor, tmp_path):
    Image.fromarray(coarse_noise()).save(tmp_path / 'a.png')
    for west in (500_000.25, 600_000.25):
        (tmp_path / 'a.pgw').write_text(f'0.5\n0\n0\n-0.5\n{west}\n5699999.75\n')
        result = segment_scene(
            predictor, tmp_path / 'a.png', tmp_path / 'out', model_identity=IDENTITY
        )
        with rasterio.open(result.paths['labels']) as file:
            assert file.transform.c == west - 0.25
