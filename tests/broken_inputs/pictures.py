"""Images, scenes and videos to be segmented, and the options for them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin

from broken_inputs.place import CommandLine, Place, png_header


def _file(name: str, content: bytes | str) -> Callable[[Place], CommandLine]:
    return lambda place: place.segment(place.file(name, content))


def _option(*option: object) -> Callable[[Place], CommandLine]:
    return lambda place: [*place.segment(place.good_data / 'images'), *option]


def _cut(
    name: str, content: Callable[[Place], bytes], share: float
) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        whole = content(place)
        return place.segment(place.file(name, whole[: int(share * len(whole))]))

    return make


def _file_of(name: str, content: Callable[[Place], bytes]) -> Callable[[Place], CommandLine]:
    return lambda place: place.segment(place.file(name, content(place)))


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    count, height, width = pixels.shape
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver='GTiff', height=height, width=width, count=count, dtype=pixels.dtype, **options
        ) as file:
            file.write(pixels)
        return memory.read()


def _photo(place: Place) -> bytes:
    return next((place.good_data / 'images' / 'training').glob('*.jpg')).read_bytes()


def _scene(place: Place, dtype: str = 'uint8', count: int = 3) -> bytes:
    path = place.folder / 'scene.tif'
    pixels = np.random.default_rng(0).integers(0, 255, (count, 96, 80)).astype(dtype)
    with rasterio.open(
        path, 'w', driver='GTiff', height=96, width=80, count=count, dtype=dtype,
        crs='EPSG:25832', transform=from_origin(500_000, 5_700_000, 1, 1),
    ) as file:  # fmt: skip
        file.write(pixels)
    return path.read_bytes()


def _video(place: Place) -> bytes:
    path = place.folder / 'whole.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48))
    for level in range(0, 200, 50):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path.read_bytes()


def _complex_scene(place: Place) -> CommandLine:
    return place.segment(place.file('complex.tif', _scene(place, 'complex64')))


def _two_bands(place: Place) -> CommandLine:
    return place.segment(place.file('two.tif', _scene(place, count=2)))


def _array(place: Place, array: np.ndarray) -> CommandLine:
    np.save(place.folder / 'a.npy', array)
    return place.segment(place.folder / 'a.npy')


def _archive(place: Place) -> CommandLine:
    np.savez(place.folder / 'a.npz', image=np.zeros((4, 5), np.uint8))
    return place.segment(place.folder / 'a.npz')


def _array_of_objects(place: Place) -> CommandLine:
    np.save(place.folder / 'objects.npy', np.array([[{}]]), allow_pickle=True)
    return place.segment(place.folder / 'objects.npy')


def _flat_array(place: Place) -> CommandLine:
    np.save(place.folder / 'flat.npy', np.zeros(12, np.uint8))
    return place.segment(place.folder / 'flat.npy')


_NOISE = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)

KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'not there': (
        lambda place: place.segment(place.folder / 'gone.jpg'), r'no image or video was found in .*gone\.jpg'),
    'a folder without pictures': (
        lambda place: place.segment(place.file('folder/notes.txt').parent), r'no image or video was found in'),
    'an image of no bytes': (_file('none.png', ''), r'none\.png is empty \(0 bytes\)'),
    'an image of text': (_file('text.jpg', 'hello'), r'text\.jpg is not an image: it is a text file'),
    'an image cut short': (_cut('cut.jpg', _photo, 0.5), r'cut\.jpg is truncated'),
    'an image that claims 60,000 x 60,000 pixels': (
        _file('bomb.png', png_header(60_000, 60_000)), r'bomb\.png .*(too large|decode only whole)'),
    'a scene cut short': (_cut('cut.tif', _scene, 0.6), r'cut\.tif cannot be read in rows 0 to 96'),
    'a scene of text': (_file('text.tif', 'hello'), r'text\.tif is not an image: it is a text file'),
    'a scene of complex numbers': (_complex_scene, r'complex\.tif holds complex numbers'),
    'a scene of two bands': (_two_bands, r'two\.tif .* choose three, --bands 1,1,1'),
    'a TIFF of five bands': (
        _file_of('five.tif', lambda place: _tiff(np.zeros((5, 8, 8), np.uint8))),
        r'five\.tif has 5 bands .* choose three, --bands 1,2,3'),
    'a DICOM file that begins like a TIFF': (
        _file('scan.tif', b'II*\0'.ljust(128, b'\0') + b'DICM' + bytes(99)), r'scan\.tif is a DICOM file'),
    'a compressed TIFF cut short': (
        _cut('cut.tif', lambda place: _tiff(_NOISE, compress='zstd'), 0.6), r'cut\.tif cannot be decoded as TIFF'),
    'an array of no image': (_flat_array, r'flat\.npy is \(12,\) uint8'),
    'a photograph of 16 bits that mean nothing': (
        _file_of('deep.png', lambda place: cv2.imencode('.png', _NOISE[0].astype(np.uint16) << 4)[1].tobytes()),
        r'deep\.png holds 16-bit values, and nothing says which of them are dark .*--value-range'),
    'a scene of 16 bits that mean nothing': (
        _file_of('deep.tif', lambda place: _scene(place, 'uint16')), r'deep\.tif holds 16-bit values'),
    'an array with its bands first': (
        lambda place: _array(place, np.zeros((3, 40, 50), np.uint8)), r'is \(3, 40, 50\), .*\.transpose\('),
    'an array that is a batch': (lambda place: _array(place, np.zeros((1, 4, 5, 3))), r'a batch of one: save '),
    'an array of booleans': (lambda place: _array(place, np.zeros((4, 5), bool)), r'bool, a mask'),
    'an archive of arrays': (_archive, r"a\.npz is an archive of arrays; it holds 'image'"),
    'a VRT by another name': (_file('a.tif', '<VRTDataset/>'), r'a\.tif is not an image: it is a VRT'),
    'a VRT that is none': (_file('a.vrt', '<VRTDataset'), r'a\.vrt cannot be read'),
    'a DICOM file': (_file('a.png', bytes(128) + b'DICM'), r'a\.png is not an image: it is a DICOM file'),
    'nothing but sidecars': (_file('a.tif.aux.xml', '<PAMDataset/>'), r'no image or video was found in'),
    'an array that holds a pickle': (_array_of_objects, r'objects\.npy cannot be read as an \.npy file'),
    'an array of text': (_file('text.npy', 'hello'), r'text\.npy cannot be read as an \.npy file'),
    'a video of text': (_file('text.avi', 'hello'), r'no frame of .*text\.avi can be decoded'),
    'a video cut short': (_cut('cut.mp4', _video, 0.5), r'cut\.mp4 holds no video .* copy it again'),
    'an unknown device': (_option('--device', 'gpu7'), r"device 'gpu7' cannot be used"),
    'an alpha of 7': (_option('--alpha', 7), r'alpha must lie between 0 and 1'),
    'a stride above the window': (_option('--window', 64, '--stride', 65), r'the stride must'),
    'a probability of 2': (_option('--reject-below', 2), r'reject_below is a prob'),
    'a config that is not there': (_option('--config', 'no.py'), r'there is no config'),
}  # fmt: skip
"""As in ``data.KINDS``."""
