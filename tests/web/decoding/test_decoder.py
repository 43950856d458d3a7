"""The process that decodes: what it gives back, and how it is bounded and ended."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from support import costly_images as costly
from support.encoded_images import saved
from support.heif import heic, heic_pixels
from swinseg.datasets.files.images import decode_image
from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import RequestError
from swinseg.web.decoding.child import START
from swinseg.web.decoding.decoder import Decoder, DecoderError
from swinseg.web.limits import Limits

PHOTO = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
).resize((610, 970))  # fmt: skip


class LittleMemory(Limits):
    """Limits that leave a decoder too little memory for the images that they let it have."""

    decoder_memory = 8 * 2**20


@pytest.fixture(scope='module')
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(Limits(pixels=1_000_000, decode_seconds=20))
    yield decoder
    decoder.close()


def pid_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def is_running(pid: int) -> bool:
    try:
        return 'Z' not in Path(f'/proc/{pid}/stat').read_text('utf-8').rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'PPM', 'AVIF'])
def test_decode__as_the_predictor_does(decoder, kind):
    data = saved(PHOTO, kind)
    np.testing.assert_array_equal(decoder.decode(data), decode_image(data, 'x')[..., ::-1])


def test_decode__heic(decoder):
    data = heic(np.asarray(PHOTO))
    np.testing.assert_array_equal(decoder.decode(data), heic_pixels(data))


def with_size(data, side):
    """Return a HEIC or AVIF file whose header tells another size than its pixels."""
    changed = bytearray(data)
    place = changed.index(b'ispe') + 8
    changed[place : place + 8] = 2 * side.to_bytes(4, 'big')
    return bytes(changed)


@pytest.mark.parametrize('kind', ['AVIF', 'HEIC'])
def test_decode__many_pixels_of_heic_and_avif_are_refused_by_their_header(decoder, kind):
    data = saved(PHOTO, 'AVIF') if kind == 'AVIF' else heic(np.asarray(PHOTO))
    with pytest.raises(RequestError, match=r'damaged|more than 1,000,000 pixels'):
        decoder.decode(with_size(data, 100_000))


def test_decode__avif_of_more_pixels_than_its_header_tells_stays_in_the_memory():
    data = with_size(saved(Image.new('RGB', (4000, 4000)), 'AVIF', speed=10), 1)
    decoder = Decoder(LittleMemory(pixels=1_000_000, decode_seconds=20))
    try:
        with pytest.raises(RequestError, match=r'damaged|memory|ended the process'):
            decoder.decode(data)
        assert decoder.decode(saved(PHOTO, 'PNG')).shape == (970, 610, 3)
    finally:
        decoder.close()


def test_decode__16_bits_as_the_model_was_trained():
    values = np.asarray(PHOTO).astype(np.uint16) * 16
    data = cv2.imencode('.png', values[..., ::-1])[1].tobytes()
    setting = ValueRange.of([[0, 4080], [0, 4095], [100, 900]])
    for value_range in (setting, None):
        decoder = Decoder(Limits(pixels=1_000_000, decode_seconds=20), value_range)
        try:
            if value_range is not None:
                expected = decode_image(data, 'x', value_range=setting)[..., ::-1]
                np.testing.assert_array_equal(decoder.decode(data), expected)
            else:
                with pytest.raises(RequestError, match='has 16 bits, and this server was not told'):
                    decoder.decode(data)
        finally:
            decoder.close()


@pytest.mark.parametrize(
    ('data', 'status', 'words'),
    [
        (b'no image', 415, 'no image that this server reads'),
        (costly.empty_png(1001), 413, 'more than 1,000,000 pixels'),
        (saved(PHOTO, 'JPEG')[:-2], 400, 'cut short'),
        (b'GIF89a' + bytes(20), 400, 'damaged'),
        (costly.jpeg_of_scans(400), 422, 'more than 100 scans'),
    ],
)
def test_decode__refusals_cross(decoder, data, status, words):
    with pytest.raises(RequestError, match=words) as caught:
        decoder.decode(data)
    assert caught.value.status == status


def test_process__is_small_and_bounded(decoder):
    decoder.start()
    folder = Path(f'/proc/{pid_of(decoder)}')
    limits = dict(line.split('  ', 1) for line in (folder / 'limits').read_text().splitlines())
    modules = (folder / 'maps').read_text()

    assert limits['Max core file size'].split()[0] == '0'
    assert limits['Max file size'].split()[0] == '0'
    assert int(limits['Max data size'].split()[0]) < 2**30
    assert int(limits['Max cpu time'].split()[0]) < 60
    assert 'libtorch' not in modules


@pytest.mark.parametrize('system', [sys.platform, 'win32'])
def test_too_slow__is_ended_and_the_next_is_decoded(system, monkeypatch):
    monkeypatch.setattr(sys, 'platform', system)
    if system == 'win32':
        monkeypatch.delattr(select, 'poll')
    decoder = Decoder(Limits(decode_seconds=0.3))
    decoder.start()
    first = pid_of(decoder)
    with pytest.raises(RequestError, match='not decoded within') as caught:
        decoder.decode(costly.jpeg_of_scans(100, side=4000))

    assert caught.value.status == 422
    assert not is_running(first)
    assert decoder.decode(saved(PHOTO, 'PNG')).shape == (970, 610, 3)
    decoder.close()
    assert not decoder.is_alive


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'WEBP', 'TIFF'])
def test_too_much_memory__is_refused(kind):
    data = saved(
        Image.new('RGB', (3000, 3000)),
        kind,
        **({'compression': 'tiff_lzw'} if kind == 'TIFF' else {}),
    )
    decoder = Decoder(LittleMemory())
    with pytest.raises(RequestError) as caught:
        decoder.decode(data)
    assert caught.value.status in (400, 422)
    assert decoder.decode(saved(PHOTO, 'PNG')).shape == (970, 610, 3)
    decoder.close()


def test_process_that_dies__is_started_again(decoder):
    decoder.start()
    os.kill(pid_of(decoder), 9)
    assert decoder.decode(saved(PHOTO, 'PNG')).shape == (970, 610, 3)


def test_process__ends_with_its_parent():
    program = START.partition('from swinseg')[0] + (
        'import time; from swinseg.web.decoding.decoder import Decoder, Limits\n'
        'd = Decoder(Limits()); d.start(); print(d._process.pid, flush=True); time.sleep(60)'
    )
    with subprocess.Popen(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_process_that_does_not_start(monkeypatch):
    monkeypatch.setattr(sys, 'executable', '/nowhere/python')
    with pytest.raises(DecoderError, match='does not start'):
        Decoder(Limits()).decode(b'x')
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    with pytest.raises(DecoderError, match='does not start'):
        Decoder(Limits()).start()
