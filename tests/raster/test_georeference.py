"""Whatever says where an image lies: read, kept in the labels, and read back by rasterio."""

import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from swinseg.inference import LabelWriter, open_image
from swinseg.raster import georeference as raster_georeference
from swinseg.segment.scenes.kinds import GEOREFERENCED, why_scene

H, W = 20, 30
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
PHOTO = Image.fromarray(RGB)
UTM = CRS.from_epsg(25832)
TRANSFORM = from_origin(500_000, 5_700_000, 0.5, 0.5)
# Of the middle of the first pixel, as world files have it.
WORLD = '0.5\n0\n0\n-0.5\n500000.25\n5699999.75\n'
POINTS = [
    GroundControlPoint(row, col, x, y, z=height)
    for row, col, x, y, height in (
        (0, 0, 500_000, 5_700_000, 1),
        (0, W, 500_031, 5_700_002, 2),
        (H, 0, 499_990, 5_699_979, 3),
        (H, W, 500_025, 5_699_977, 4),
    )
]
ONE, FIRST, SECOND = ([0.0] * place + [1.0] + [0.0] * (19 - place) for place in range(3))
RPCS = RPC(
    height_off=100, height_scale=50, lat_off=50, lat_scale=0.1, long_off=8, long_scale=0.1, line_off=10,
    line_scale=10, samp_off=15, samp_scale=15, line_num_coeff=SECOND, line_den_coeff=ONE, samp_num_coeff=FIRST,
    samp_den_coeff=ONE, err_bias=None, err_rand=None,
)  # fmt: skip


def write_tiff(path, **place):
    with rasterio.open(
        path, 'w', driver='GTiff', height=H, width=W, count=3, dtype='uint8', **place
    ) as file:
        file.write(RGB.transpose(2, 0, 1))
    return path


def labels_of(path, tmp_path):
    """Return rasterio's view of labels that were written with an image's georeference."""
    image = open_image(path)
    out = tmp_path / 'out.tif'
    with LabelWriter(out, image.shape, georeference=image.georeference) as writer:
        writer.write_rows(0, np.zeros(image.shape, np.uint8))
    return rasterio.open(out)


def test_ground_control_points__with_their_system(tmp_path):
    path = write_tiff(tmp_path / 'a.tif', gcps=POINTS, crs=UTM)
    assert why_scene(path) == 'GeoTIFF'
    with labels_of(path, tmp_path) as labels:
        points, crs = labels.gcps
        assert crs == UTM
        assert [(p.row, p.col, p.x, p.y, p.z) for p in points] == [
            (p.row, p.col, p.x, p.y, p.z) for p in POINTS
        ]
        assert labels.transform.is_identity


def test_rpcs(tmp_path):
    path = write_tiff(tmp_path / 'a.tif', rpcs=RPCS)
    assert why_scene(path) == 'GeoTIFF'
    with labels_of(path, tmp_path) as labels:
        assert labels.rpcs.to_dict() == RPCS.to_dict() | {
            'err_bias': labels.rpcs.err_bias,
            'err_rand': labels.rpcs.err_rand,
        }
        assert labels.tags(ns='RPC')['SAMP_SCALE'] == '15'


def test_rpcs_and_a_transform__are_both_kept(tmp_path):
    path = write_tiff(tmp_path / 'a.tif', rpcs=RPCS, transform=TRANSFORM, crs=UTM)
    with labels_of(path, tmp_path) as labels:
        assert labels.rpcs.lat_off == RPCS.lat_off
        assert (labels.transform, labels.crs) == (TRANSFORM, UTM)


@pytest.mark.parametrize(
    ('image', 'world'),
    [
        ('a.tif', 'a.tfw'), ('a.tif', 'a.tifw'), ('a.tif', 'a.wld'), ('a.jpg', 'a.jgw'), ('a.jpg', 'a.JGW'),
        ('a.jpeg', 'a.jpegw'), ('a.png', 'a.pgw'), ('a.png', 'a.wld'), ('a.bmp', 'a.bpw'), ('a.gif', 'a.gfw'),
        ('a.jp2', 'a.j2w'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('projection', [None, UTM.to_wkt(), UTM.to_wkt(version='WKT1_ESRI')])
def test_world_file(tmp_path, image, world, projection):
    PHOTO.save(tmp_path / image)
    assert why_scene(tmp_path / image) is None
    (tmp_path / world).write_text(WORLD)
    if projection is not None:
        (tmp_path / 'a.prj').write_text(projection)
    assert why_scene(tmp_path / image) in GEOREFERENCED
    with labels_of(tmp_path / image, tmp_path) as labels:
        assert labels.transform == TRANSFORM
        if projection is None:
            assert labels.crs is None
        else:
            assert labels.crs.to_epsg(confidence_threshold=20) == 25832


@pytest.mark.parametrize('name', ['a.tif', 'a.jpg', 'a.png', 'a.webp'])
def test_aux_xml(tmp_path, name):
    PHOTO.save(tmp_path / name)
    beside = tmp_path / f'{name}.aux.xml'
    # What GIS programs leave beside any picture that was looked at.
    beside.write_text('<PAMDataset><Metadata><MDI key="a">b</MDI></Metadata></PAMDataset>')
    assert why_scene(tmp_path / name) is None
    wkt = UTM.to_wkt().replace('"', '&quot;')
    beside.write_text(
        f'<PAMDataset><SRS>{wkt}</SRS><GeoTransform>500000, 0.5, 0, 5700000, 0, -0.5</GeoTransform></PAMDataset>'
    )
    assert why_scene(tmp_path / name) in GEOREFERENCED
    with labels_of(tmp_path / name, tmp_path) as labels:
        assert (labels.transform, labels.crs) == (TRANSFORM, UTM)


def test_geojp2__with_ground_control_points(tmp_path):
    path = tmp_path / 'a.jp2'
    profile = dict(driver='JP2OpenJPEG', height=H, width=W, count=3, dtype='uint8')
    with rasterio.open(path, 'w', **profile, gcps=POINTS, crs=UTM) as file:
        file.write(RGB.transpose(2, 0, 1))
    assert why_scene(path) in GEOREFERENCED
    with labels_of(path, tmp_path) as labels:
        assert len(labels.gcps[0]) == len(POINTS)
        assert labels.gcps[1] == UTM


def test_pixels__stay_as_stored_where_the_georeference_is_about_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    PHOTO.save(tmp_path / 'a.png', exif=exif)
    assert open_image(tmp_path / 'a.png').shape == (W, H)
    (tmp_path / 'a.pgw').write_text(WORLD)
    image = open_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(image.read(0, H, 0, W), RGB)


def test_without_rasterio__it_is_said(tmp_path, monkeypatch):
    PHOTO.save(tmp_path / 'a.jpg')
    (tmp_path / 'a.jgw').write_text(WORLD)
    monkeypatch.setattr(raster_georeference, 'import_rasterio', lambda: None)
    with pytest.warns(UserWarning, match=r'a\.jgw says where .* do not keep without rasterio: pip'):
        assert why_scene(tmp_path / 'a.jpg') is None


def test_geolocation_array__is_said(tmp_path):
    PHOTO.save(tmp_path / 'a.jpg')
    (tmp_path / 'a.jpg.aux.xml').write_text(
        '<PAMDataset><Metadata domain="GEOLOCATION"><MDI key="X_DATASET">x.tif</MDI>'
        '<MDI key="Y_DATASET">y.tif</MDI></Metadata></PAMDataset>'
    )
    with pytest.warns(UserWarning, match='by a geolocation array'):
        assert open_image(tmp_path / 'a.jpg').georeference is None


@pytest.mark.parametrize('world', ['', 'text', '1\n2\n'])
def test_world_file__that_is_none(tmp_path, world):
    PHOTO.save(tmp_path / 'a.jpg')
    (tmp_path / 'a.jgw').write_text(world)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert why_scene(tmp_path / 'a.jpg') is None
