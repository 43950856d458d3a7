"""ADE20K from a server of our own."""

import functools
import hashlib
import io
import resource
import zipfile

import numpy as np
import pytest
from PIL import Image

from support import hub_server
from swinseg.datasets.ade20k import ADE20K
from swinseg.datasets.prepare import PrepareError, prepare_ade20k
from swinseg.files import OutputError


@pytest.fixture
def server():
    with hub_server.running() as running:
        yield running


def test_ade20k__no_room(server, tmp_path):
    data = bytes(300_000)
    server.content.files['/ade.zip'] = data
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            OutputError, match=r'cannot write .*zip.part: File too large; make room'
        ):
            prepare_ade20k(tmp_path / 'ade', url=f'{server.url}/ade.zip', sha1=sha1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # What arrived is there for the next call.
    assert (tmp_path / 'ADEChallengeData2016.zip.part').stat().st_size == 100_000


def ade20k_archive(counts):
    """Return the bytes of an archive in ADE20K's layout."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(buffer, 'w') as archive:
        for split, count in counts.items():
            for number in range(count):
                name = f'ADE_{split[:5]}_{number:08d}'
                for folder, suffix, pixels in (
                    ('images', 'jpg', rng.integers(0, 256, (8, 9, 3), np.uint8)),
                    ('annotations', 'png', rng.integers(0, 151, (8, 9), np.uint8)),
                ):
                    file = io.BytesIO()
                    Image.fromarray(pixels).save(file, {'jpg': 'JPEG', 'png': 'PNG'}[suffix])
                    archive.writestr(
                        f'ADEChallengeData2016/{folder}/{split}/{name}.{suffix}', file.getvalue()
                    )
    return buffer.getvalue()


def test_ade20k__download_unpack_verify(server, tmp_path):
    counts = {'training': 5, 'validation': 2}
    data = ade20k_archive(counts)
    server.content.files['/ade.zip'] = data
    server.content.cuts = [len(data) // 2]
    get = functools.partial(
        prepare_ade20k, tmp_path / 'ade', url=f'{server.url}/ade.zip',
        sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    )  # fmt: skip
    with pytest.raises(PrepareError, match='has 5 training images with labels, expected 20210'):
        get()
    assert [path.name for path in tmp_path.iterdir()] == ['ADEChallengeData2016.zip']
    said = []
    line = get(counts=counts, progress=lambda what, done, total: said.append(what))
    assert line.startswith(f'{tmp_path}/ade: 5 training, 2 validation images with labels')
    # The archive was there already.
    assert set(said) == {'unpack'}
    assert server.ranges('/ade.zip') == [None, f'bytes={len(data) // 2}-']
    dataset = ADE20K(
        data_root=str(tmp_path / 'ade'),
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    )
    assert len(dataset) == 2
    with pytest.raises(PrepareError, match='exists and is not empty'):
        get(counts=counts)
