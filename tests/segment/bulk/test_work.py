"""One unit, from the input to its row."""

import csv
import dataclasses

import cv2
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin

from support import bulk_jobs
from swinseg.models.prepare import fixed_kernels, usual_kernels
from swinseg.predictor import PredictOptions, Predictor
from swinseg.segment import segment_scene
from swinseg.segment.bulk.work import BandDone, Segmenter, Split, Stop, Unit


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    return path


def test_image__row_and_files(segmenter, photo, tmp_path):
    row = segmenter(Unit(str(photo), 'sub/a.png', attempts=1), worker='here:0')
    assert (row.input, row.state, row.output, row.kind) == (
        str(photo),
        'done',
        'sub/a.png',
        'image',
    )
    assert (row.height, row.width, row.attempts, row.worker, row.error) == (40, 50, 2, 'here:0', '')
    assert row.files == ('_color.png', '_labels.png', '_overlay.png')
    labels = np.array(Image.open(tmp_path / 'out' / 'sub' / 'a.png_labels.png'))
    assert dict(row.classes) == {
        name: float((labels == i).mean())
        for i, name in enumerate(segmenter.facts.classes)
        if (labels == i).any()
    }
    assert row.seconds > 0
    assert row.finished > 1.6e9


def write_tiff(path, pixels):
    with rasterio.open(
        path, 'w', driver='GTiff', height=pixels.shape[0], width=pixels.shape[1], count=3, dtype='uint8',
        photometric='RGB', transform=from_origin(10, 20, 1, 1), crs='EPSG:32632', nodata=0,
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))


@pytest.fixture(params=['scene.tif', 'scene.npy', 'scene.png'])
def scene(request, tmp_path):
    pixels = np.random.default_rng(1).integers(1, 255, (331, 90, 3), np.uint8)
    pixels[:70] = 0
    path = tmp_path / request.param
    if path.suffix == '.tif':
        write_tiff(path, pixels)
    elif path.suffix == '.npy':
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize('stride', [48, 20])
def test_scene__alone_and_by_bands_is_what_segment_scene_writes(
    stride, scene, checkpoint, tmp_path
):
    how = dict(window=64, stride=stride, model_identity={'model': 'tiny'})
    predict = PredictOptions(confidence=True)
    with fixed_kernels(usual_kernels(torch.float32)):
        predictor = Predictor.from_checkpoint(checkpoint, device='cpu')
    segment_scene(predictor, scene, tmp_path / 'plain', predict, stem=scene.name, **how)
    plain = bulk_jobs.contents(tmp_path / 'plain')
    setup = bulk_jobs.setup(checkpoint, tmp_path / 'alone', predict=predict, **how)
    unit = Unit(str(scene), scene.name)
    row = Segmenter(setup, 'cpu')(unit)
    assert (row.kind, row.height, row.width) == ('scene', 331, 90)
    assert bulk_jobs.contents(tmp_path / 'alone') == plain
    assert [f'{scene.name}{ending}' for ending in row.files] == sorted(plain)

    scratch = tmp_path / 'bands'
    shared = dataclasses.replace(
        setup, out=str(tmp_path / 'shared'), scratch=str(scratch), shared_pixels=1, band_windows=2
    )
    first, second = Segmenter(shared, 'cpu'), Segmenter(shared, 'cpu')
    split = first(unit)
    assert isinstance(split, Split)
    assert split.bands == split.missing
    assert [band[0] for band in split.bands] == [0, *(band[1] for band in split.bands[:-1])]
    assert split.bands[-1][1] == 331
    assert len(split.bands) > 2
    for number, band in enumerate(reversed(split.bands)):
        outcome = (first, second)[number % 2](dataclasses.replace(unit, band=band))
        assert isinstance(outcome, BandDone)
    assert second(unit).missing == ()
    together = second(dataclasses.replace(unit, bands=split.bands))
    assert together.classes == row.classes
    assert bulk_jobs.contents(tmp_path / 'shared') == plain
    assert list(scratch.iterdir()) == []


def test_scene_that_changes__begins_anew(checkpoint, tmp_path):
    path = tmp_path / 'scene.npy'
    pixels = np.random.default_rng(1).integers(1, 255, (200, 90, 3), np.uint8)
    np.save(path, pixels)
    setup = dataclasses.replace(
        bulk_jobs.setup(checkpoint, tmp_path / 'out', window=64),
        scratch=str(tmp_path / 'bands'), shared_pixels=1, band_windows=1,
    )  # fmt: skip
    segmenter = Segmenter(setup, 'cpu')
    unit = Unit(str(path), 'scene')
    bands = segmenter(unit).bands
    segmenter(dataclasses.replace(unit, band=bands[0]))
    assert segmenter(unit).missing == bands[1:]
    np.save(path, pixels[::-1])
    assert segmenter(unit).missing == bands


def test_remote_scene__by_bands(checkpoint, tmp_path):
    import fsspec

    path = tmp_path / 'scene.tif'
    write_tiff(path, np.random.default_rng(1).integers(1, 255, (200, 90, 3), np.uint8))
    fsspec.filesystem('memory').put(str(path), '/in/scene.tif')
    setup = dataclasses.replace(
        bulk_jobs.setup(checkpoint, 'memory://out', window=64),
        scratch='memory://bands', shared_pixels=1, band_windows=2,
    )  # fmt: skip
    segmenter = Segmenter(setup, 'cpu')
    unit = Unit('memory://in/scene.tif', 'scene.tif')
    bands = segmenter(unit).bands
    for band in bands:
        segmenter(dataclasses.replace(unit, band=band))
    row = segmenter(dataclasses.replace(unit, bands=bands))
    local = Segmenter(bulk_jobs.setup(checkpoint, tmp_path / 'out', window=64), 'cpu')
    assert local(Unit(str(path), 'scene.tif')).classes == row.classes
    labels = (tmp_path / 'out' / 'scene.tif_labels.tif').read_bytes()
    assert fsspec.filesystem('memory').cat('/out/scene.tif_labels.tif') == labels


def test_video__mean_shares(segmenter, tmp_path):
    path = tmp_path / 'walk.mp4'
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48))
    for value in (0, 200):
        film.write(np.full((48, 64, 3), value, np.uint8))
    film.release()
    row = segmenter(Unit(str(path), 'walk.mp4'))
    assert (row.kind, row.state) == ('video', 'done')
    with open(tmp_path / 'out' / 'walk.mp4_areas.csv') as file:
        lines = list(csv.DictReader(file))
    for name, share in row.classes:
        assert share == pytest.approx(np.mean([float(line[name]) for line in lines]))
    assert sum(share for _, share in row.classes) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ('name', 'content', 'sentence'),
    [
        ('none.jpg', None, 'image {} does not exist; check the data folder and its suffixes'),
        ('empty.jpg', b'', 'image {} is empty (0 bytes); copy it again or remove it from the set'),
        ('text.jpg', b'a letter', 'image {} is not an image: it is a text file'),
    ],
)
def test_input_that_is_no_image__is_a_row_with_a_sentence(
    name, content, sentence, segmenter, tmp_path
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    row = segmenter(Unit(str(path), name))
    assert (row.state, row.output, row.files, row.classes) == ('failed', '', (), ())
    assert row.error.startswith(sentence.format(path))
    assert '\n' not in row.error


def test_broken_entry__says_what_is_wrong_with_it(segmenter):
    row = segmenter(Unit('list, line 3', 'x', fault='list, line 3: a path is expected'))
    assert (row.state, row.error) == ('failed', 'list, line 3: a path is expected')


def test_place_that_takes_no_files__stops_the_job(segmenter, photo):
    resource = pytest.importorskip('resource', reason='Windows has no limit for the size of files')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        outcome = segmenter(Unit(str(photo), 'a.png'))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(outcome, Stop)
    assert 'File too large' in outcome.error


def test_name_that_no_file_can_have__is_a_failure_of_its_input(segmenter, photo, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'sub').write_text('x')
    row = segmenter(Unit(str(photo), 'sub/a.png'))
    assert row.state == 'failed'
    assert 'Not a directory' in row.error or 'File exists' in row.error


def test_option_that_no_input_allows__is_refused_before_the_first(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='class-masks'):
        Segmenter(bulk_jobs.setup(checkpoint, tmp_path, class_masks=True), 'cpu')


def test_identity__names_what_results_depend_on(checkpoint, tmp_path):
    setup = bulk_jobs.setup(checkpoint, tmp_path)
    assert setup.identity() == bulk_jobs.setup(checkpoint, tmp_path / 'elsewhere').identity()
    for options in (dict(alpha=0.3), dict(window=64), dict(model_identity={'model': 1})):
        assert bulk_jobs.setup(checkpoint, tmp_path, **options).identity() != setup.identity()
