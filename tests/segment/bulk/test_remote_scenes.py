"""Scenes at addresses that GDAL reads by windows, and those that are copied instead."""

import dataclasses
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'swinseg[bulk]'")
pytest.importorskip('fsspec', reason="fsspec is not installed: pip install 'swinseg[bulk]'")
pytest.importorskip('aiohttp', reason="aiohttp is not installed: pip install 'swinseg[bulk]'")
pytest.importorskip('rasterio', reason="rasterio is not installed: pip install 'swinseg[raster]'")

import rasterio

from support import bulk_jobs
from support.range_server import range_server
from swinseg.segment.bulk import remote_scenes
from swinseg.segment.bulk.work import Segmenter, Unit

SHAPE = (2048, 700)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a GeoTIFF of 4.3 MB, with names of bands, nodata and a border that is nodata."""
    folder = tmp_path_factory.mktemp('scenes')
    values = np.random.default_rng(0).integers(1, 255, (3, *SHAPE), np.uint8)
    values[:, :, :40] = 0
    with rasterio.open(
        folder / 'a scene.tif', 'w', driver='GTiff', height=SHAPE[0], width=SHAPE[1], count=3,
        dtype='uint8', tiled=True, blockxsize=64, blockysize=64, crs='EPSG:32633', nodata=0,
        transform=rasterio.transform.from_origin(5e5, 5e6, 0.3, 0.3), photometric='RGB',
    ) as file:  # fmt: skip
        file.write(values)
    return folder


@pytest.fixture
def large_is_small(monkeypatch):
    monkeypatch.setattr(remote_scenes, 'LEAST_BYTES', 2**20)


def shared(checkpoint, out):
    """A segmenter for which any scene is large."""
    setup = bulk_jobs.setup(checkpoint, out, window=256)
    return Segmenter(
        dataclasses.replace(setup, scratch=str(out / 'bands'), shared_pixels=1, band_windows=4),
        'cpu',
    )


def by_bands(segmenter, address):
    unit = Unit(address, 'scene')
    bands = segmenter(unit).bands
    assert len(bands) > 1
    for band in bands:
        segmenter(dataclasses.replace(unit, band=band))
    return segmenter(dataclasses.replace(unit, bands=bands))


def assert_same_files(out, expected, row):
    assert row.files
    for ending in row.files:
        found = (out / f'scene{ending}').read_bytes()
        assert found == (expected / f'scene{ending}').read_bytes(), ending


@pytest.fixture(scope='module')
def local(checkpoint, folder, tmp_path_factory):
    """What the file of this machine gives."""
    out = tmp_path_factory.mktemp('local')
    segmenter = Segmenter(bulk_jobs.setup(checkpoint, out, window=256), 'cpu')
    assert segmenter(Unit(str(folder / 'a scene.tif'), 'scene')).state == 'done'
    return out


def test_scene__is_read_by_windows_and_gives_the_files_of_a_local_one(
    checkpoint, folder, local, large_is_small, tmp_path
):
    with range_server(folder, tmp_path / 'log') as server:
        address = f'{server.address}/a%20scene.tif'
        segmenter = shared(checkpoint, tmp_path / 'out')
        first, *others = segmenter(Unit(address, 'scene')).bands
        assert others
        before = server.sent_to_gdal()
        segmenter(Unit(address, 'scene', band=first))
        # A quarter of the rows, and what the reader asks for ahead.
        assert 0 < server.sent_to_gdal() - before < os.path.getsize(folder / 'a scene.tif') * 0.7
        assert_same_files(tmp_path / 'out', local, by_bands(segmenter, address))


def test_scene__that_gdal_cannot_read_on_is_copied(
    checkpoint, folder, local, large_is_small, tmp_path
):
    with range_server(folder, tmp_path / 'log', '--refuse-gdal-from', '1000000') as server:
        segmenter = shared(checkpoint, tmp_path / 'out')
        row = by_bands(segmenter, f'{server.address}/a%20scene.tif')
        assert server.sent_to_gdal() > 0
    assert_same_files(tmp_path / 'out', local, row)


def test_scene__of_a_server_that_gives_no_parts_is_copied(
    checkpoint, folder, local, large_is_small, tmp_path
):
    with range_server(folder, tmp_path / 'log', '--no-parts') as server:
        address = f'{server.address}/a%20scene.tif'
        assert remote_scenes.stand_in(address, tmp_path) is None
        row = by_bands(shared(checkpoint, tmp_path / 'out'), address)
    assert_same_files(tmp_path / 'out', local, row)


def test_stand_in__not_for_small_files_and_other_formats(folder, tmp_path, monkeypatch):
    (tmp_path / 'no.tif').write_bytes(b'II*\0' + b'\xff' * 100)
    (tmp_path / 'scene.tif').write_bytes((folder / 'a scene.tif').read_bytes())
    with range_server(tmp_path, tmp_path / 'log') as server:
        for name in ('no.tif', 'scene.tif', 'missing.tif', 'log'):
            assert remote_scenes.stand_in(f'{server.address}/{name}', tmp_path) is None
        monkeypatch.setattr(remote_scenes, 'LEAST_BYTES', 1)
        for name in ('no.tif', 'missing.tif', 'log'):
            assert remote_scenes.stand_in(f'{server.address}/{name}', tmp_path) is None
        assert remote_scenes.stand_in(f'{server.address}/scene.tif', tmp_path) is not None


def test_scene__in_a_private_bucket_is_read_by_windows(
    checkpoint, folder, local, large_is_small, tmp_path, monkeypatch
):
    pytest.importorskip('moto', reason="moto is not installed: pip install 'swinseg[test]'")
    pytest.importorskip('s3fs', reason="s3fs is not installed: pip install 'swinseg[bulk]' s3fs")
    import fsspec

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'key')
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'secret')
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    monkeypatch.setenv('AWS_ENDPOINT_URL', f'http://127.0.0.1:{port}')
    command = [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(port)]
    with (
        open(tmp_path / 'log', 'w') as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            while 'Running on' not in (tmp_path / 'log').read_text():
                assert server.poll() is None
                time.sleep(0.1)
            fs = fsspec.filesystem('s3', skip_instance_cache=True)
            fs.mkdir('scenes')
            fs.put(str(folder / 'a scene.tif'), 'scenes/a scene.tif')
            path = remote_scenes.stand_in('s3://scenes/a scene.tif', Path(tmp_path))
            assert path is not None
            row = by_bands(shared(checkpoint, tmp_path / 'out'), 's3://scenes/a scene.tif')
        finally:
            server.kill()
    assert_same_files(tmp_path / 'out', local, row)
