"""Labels by rows: what the files hold, and that an interruption leaves no trace in them."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swinseg.raster.image import Georeference, RasterError
from swinseg.raster.readers import open_image
from swinseg.raster.writers import LabelWriter, source_identity

H, W = 300, 61
LABELS = np.random.default_rng(0).integers(0, 7, (H, W)).astype(np.uint8)
LABELS[:, :9] = 255
PALETTE = np.random.default_rng(1).integers(0, 256, (7, 3))


def write(writer, stop=H, step=37):
    for first in range(writer.rows_done, stop, step):
        writer.write_rows(first, LABELS[first : min(first + step, stop)])


def test_geotiff__georeference_nodata_and_palette(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    place = Georeference(
        rasterio.transform.from_origin(5e5, 4e6, 0.5, 0.5), rasterio.crs.CRS.from_epsg(32632)
    )
    options = dict(palette=PALETTE, georeference=place, nodata=255)
    with LabelWriter(tmp_path / 'a.tif', (H, W), **options) as writer:
        write(writer)
    assert [path.name for path in tmp_path.iterdir()] == ['a.tif']
    with rasterio.open(tmp_path / 'a.tif') as file:
        np.testing.assert_array_equal(file.read(1), LABELS)
        assert (file.transform, file.crs, file.nodata) == (place.transform, place.crs, 255)
        assert file.block_shapes == [(256, 256)]
        assert file.compression.name == 'deflate'
        colors = [file.colormap(1)[i][:3] for i in range(7)]
        np.testing.assert_array_equal(colors, PALETTE)
    image = open_image(tmp_path / 'a.tif')
    assert image.georeference == place
    np.testing.assert_array_equal(image.valid(0, H, 0, W), LABELS < 255)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('suffix', ['.tif', '.npy', '.png'])
def test_formats__hold_the_labels(tmp_path, suffix, dtype):
    if suffix == '.tif':
        pytest.importorskip('rasterio')
    path = tmp_path / f'a{suffix}'
    with LabelWriter(path, (H, W), dtype=dtype, palette=PALETTE) as writer:
        write(writer)
    if suffix == '.npy':
        found = np.load(path)
    elif suffix == '.tif' and dtype == np.uint16:
        # Pillow reads no color tables of 16 bits.
        with pytest.importorskip('rasterio').open(path) as file:
            found = file.read(1)
    else:
        found = np.asarray(Image.open(path))
    np.testing.assert_array_equal(found, LABELS)
    if suffix == '.npy':
        assert found.dtype == dtype
    if suffix == '.png' and dtype == np.uint8:
        palette = Image.open(path).getpalette()
        np.testing.assert_array_equal(np.reshape(palette, (256, 3))[:7], PALETTE)


def interrupted(path, options, done, stop, step):
    with LabelWriter(path, (H, W), **options) as writer:
        assert writer.rows_done == done
        write(writer, stop, step)
        raise KeyboardInterrupt


@pytest.fixture(scope='module', params=['.tif', '.npy', '.png'])
def uninterrupted(request, tmp_path_factory):
    if request.param == '.tif':
        pytest.importorskip('rasterio')
    path = tmp_path_factory.mktemp('whole') / f'a{request.param}'
    with LabelWriter(path, (H, W), palette=PALETTE) as writer:
        write(writer)
    return path


@settings(max_examples=15, deadline=None)
@given(stops=st.lists(st.integers(0, H - 1), min_size=1, max_size=4), step=st.integers(1, 90))
def test_resume__gives_the_same_bytes(uninterrupted, tmp_path_factory, stops, step):
    path = tmp_path_factory.mktemp('stopped') / uninterrupted.name
    options = dict(palette=PALETTE, job={'window': (512, 512)})
    done = 0
    for stop in sorted(stops):
        with pytest.raises(KeyboardInterrupt):
            interrupted(path, options, done, stop, step)
        done = max(done, stop)
        assert not path.exists()
    with LabelWriter(path, (H, W), **options) as writer:
        assert writer.rows_done == done
        write(writer, step=step)
    assert path.read_bytes() == uninterrupted.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_resume__after_a_kill_trusts_only_recorded_rows(tmp_path):
    path, options = tmp_path / 'a.npy', {'job': {'a': 1}}
    writer = LabelWriter(path, (H, W), **options)
    write(writer, 111)
    writer.suspend()
    # A kill leaves rows that no record tells of.
    with open(tmp_path / '.a.npy.partial.labels', 'ab') as file:
        file.write(b'x' * 100)
    with LabelWriter(path, (H, W), **options) as writer:
        assert writer.rows_done == 111
        write(writer)
    np.testing.assert_array_equal(np.load(path), LABELS)


def test_resume__another_job_begins_anew(tmp_path):
    (tmp_path / 'source').write_text('1')
    job = source_identity(tmp_path / 'source')

    def start(**changes):
        writer = LabelWriter(
            tmp_path / 'a.npy', (H, W), **{'job': job, 'dtype': np.uint8} | changes
        )
        found = writer.rows_done
        writer.suspend()
        return found

    def prepare():
        writer = LabelWriter(tmp_path / 'a.npy', (H, W), job=job)
        write(writer, 50)
        writer.suspend()

    prepare()
    assert start() == 50
    (tmp_path / 'source').write_text('12')
    for changes in (
        {'job': source_identity(tmp_path / 'source')},
        {'dtype': np.uint16},
        {'job': None},
    ):
        prepare()
        assert start(**changes) == 0
    prepare()
    (tmp_path / '.a.npy.partial.json').write_text('{')
    assert start() == 0
    prepare()
    (tmp_path / '.a.npy.partial.labels').write_bytes(b'')
    assert start() == 0


def test_resume__never_takes_the_rows_of_another_job(tmp_path):
    path = tmp_path / 'a.npy'
    writer = LabelWriter(path, (H, W), job={'a': 1})
    write(writer, 50)
    writer.suspend()
    other = LabelWriter(path, (H, W), job={'a': 2})
    write(other, 60)
    other._file.close()  # killed before it recorded anything
    writer = LabelWriter(path, (H, W), job={'a': 1})
    assert writer.rows_done == 0
    writer.suspend()


def test_failure__without_a_job_leaves_nothing_and_keeps_the_old_file(tmp_path):
    (tmp_path / 'a.npy').write_text('old')
    with pytest.raises(ZeroDivisionError), LabelWriter(tmp_path / 'a.npy', (H, W)) as writer:
        write(writer, 1 // (writer.rows_done))
    assert [path.name for path in tmp_path.iterdir()] == ['a.npy']
    assert (tmp_path / 'a.npy').read_text() == 'old'


def test_write_rows__order_and_form(tmp_path):
    writer = LabelWriter(tmp_path / 'a.npy', (H, W))
    write(writer, 10)
    for first, labels, message in [
        (9, LABELS[9:10], 'row 10 of .* is next, but row 9 came'),
        (11, LABELS[11:12], 'row 10 of .* is next, but row 11 came'),
        (10, LABELS[10:11, :5], r'labels of shape \(1, 5\)'),
        (10, LABELS, 'takes up to 290 rows of 61'),
        (10, LABELS[:1].astype(int) + 1, 'from 0 to 255'),
        (10, LABELS[:1].astype(float), 'whole numbers'),
    ]:
        with pytest.raises(RasterError, match=message):
            writer.write_rows(first, labels)
    with pytest.raises(RasterError, match='300 rows, but only 10'):
        writer.finish()


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('a.jpg', {}, 'files that end in .tif'),
        ('a.npy', {'dtype': np.int64}, 'uint8 or uint16'),
        ('a.npy', {'nodata': 256}, 'nodata must be'),
        ('a.npy', {'palette': np.zeros((257, 3), int)}, '257 classes do not fit'),
        ('a.npy', {'shape': (0, 4)}, 'above 0'),
    ],
)
def test_arguments__are_checked(tmp_path, name, options, message):
    with pytest.raises(RasterError, match=message):
        LabelWriter(tmp_path / name, **{'shape': (H, W)} | options)
    assert not list(tmp_path.iterdir())


def test_geotiff__without_rasterio_stops_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(RasterError, match=r"pip install 'swinseg\[raster\]'"):
        LabelWriter(tmp_path / 'a.tif', (H, W))
