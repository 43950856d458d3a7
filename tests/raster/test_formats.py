"""Which files GDAL reads: each by the driver of its format, and a VRT only where someone asks for one."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.shutil import copy
from rasterio.transform import from_origin

from swinseg.errors import DataError
from swinseg.inference import open_image
from swinseg.raster.formats import driver_of
from swinseg.raster.image import RasterError
from swinseg.segment.scenes.kinds import GEOREFERENCED, why_scene

H, W = 20, 24
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
PLACE = dict(crs='EPSG:25832', transform=from_origin(500_000, 5_700_000, 1, 1))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """One picture as GeoTIFF, ERDAS Imagine, JPEG 2000 with and without a place, and VRT."""
    root = tmp_path_factory.mktemp('rasters')
    lossless = dict(QUALITY='100', REVERSIBLE='YES', YCBCR420='NO')
    for name, driver, options in (
        ('a.tif', 'GTiff', PLACE),
        ('a.img', 'HFA', PLACE),
        ('a.jp2', 'JP2OpenJPEG', {**PLACE, **lossless}),
    ):
        profile = dict(driver=driver, height=H, width=W, count=3, dtype='uint8', **options)
        with rasterio.open(root / name, 'w', **profile) as file:
            file.write(RGB.transpose(2, 0, 1))
    Image.fromarray(RGB).save(root / 'plain.jp2')
    copy(str(root / 'a.tif'), str(root / 'a.vrt'), driver='VRT')
    return root


@pytest.mark.parametrize('name', ['a.tif', 'a.img', 'a.jp2', 'a.vrt'])
def test_open_image__pixels_and_place(folder, name):
    image = open_image(folder / name)
    np.testing.assert_array_equal(image.read(3, 9, 2, 20), RGB[3:9, 2:20])
    assert image.georeference.transform == PLACE['transform']
    assert image.georeference.crs.to_epsg() == 25832
    assert why_scene(folder / name) in GEOREFERENCED


def test_jpeg_2000__without_a_place_is_a_photograph(folder):
    assert driver_of(folder / 'plain.jp2') is None
    assert why_scene(folder / 'plain.jp2') is None
    np.testing.assert_array_equal(open_image(folder / 'plain.jp2').read(0, H, 0, W), RGB)


@pytest.mark.parametrize('name', ['stranger.tif', 'stranger.png', 'stranger'])
def test_vrt__under_another_name_is_none(folder, name):
    (folder / name).write_bytes((folder / 'a.vrt').read_bytes())
    with pytest.raises(DataError, match='is not an image: it is a VRT, which names other files'):
        open_image(folder / name)


@pytest.mark.parametrize(
    ('content', 'error', 'message'),
    [
        (b'text', DataError, 'is not an image: it is a text file'),
        (b'<VRTDataset', RasterError, r'broken\.vrt cannot be read'),
    ],
)
def test_vrt__that_is_none(tmp_path, content, error, message):
    (tmp_path / 'broken.vrt').write_bytes(content)
    with pytest.raises(error, match=message):
        open_image(tmp_path / 'broken.vrt')


def test_vrt__runs_no_python(folder, monkeypatch):
    """GDAL can compute pixels by Python code inside of a VRT."""
    ran = folder / 'ran'
    monkeypatch.setenv('GDAL_VRT_ENABLE_PYTHON', 'YES')
    band = (
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand">'
        '<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>'
        f'<PixelFunctionCode><![CDATA[\nopen({str(ran)!r}, "w").close()\ndef f(*a, **k): pass\n]]>'
        '</PixelFunctionCode><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        '</SimpleSource></VRTRasterBand>'
    )
    (folder / 'python.vrt').write_text(
        f'<VRTDataset rasterXSize="{W}" rasterYSize="{H}">{band}</VRTDataset>'
    )
    with pytest.raises(RasterError, match=r'python\.vrt cannot be read'):
        open_image(folder / 'python.vrt').read(0, H, 0, W)
    assert not ran.exists()
