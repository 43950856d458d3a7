"""Files that lie beside images and are none."""

import pytest

from swinseg.segment.sidecars import is_sidecar
from swinseg.segment.sources import InputError, find_sources

SIDECARS = (
    'a.png.aux.xml', 'a.tfw', 'a.JGW', 'a.tif.ovr', 'a.tif.msk', '._a.png', '.DS_Store', 'Thumbs.db',
    '__MACOSX/a.png', 'sub/__MACOSX/sub/._a.png', '.ipynb_checkpoints/a-checkpoint.png', '@eaDir/a.jpg',
)  # fmt: skip
IMAGES = ('a.png', 'sub/b.tif', '.hidden.png', 'c.aux.png', 'my__MACOSX/d.jpg')


@pytest.mark.parametrize('name', SIDECARS)
def test_is_sidecar(name):
    assert is_sidecar(name)


@pytest.mark.parametrize('name', IMAGES)
def test_is_sidecar__an_image(name):
    assert not is_sidecar(name)


@pytest.mark.parametrize('how', ['folder', 'glob', 'shell'])
def test_find_sources__passes_over_sidecars(tmp_path, how):
    root = tmp_path / '__MACOSX' / 'set'  # Above the folder it means nothing.
    for name in (*SIDECARS, *IMAGES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if how == 'folder':
        inputs, expected = [root], IMAGES
    elif how == 'glob':
        inputs, expected = [f'{root}/*.*'], ('a.png', 'c.aux.png')
    else:
        inputs = [path for path in root.iterdir() if path.is_file()]
        expected = ('a.png', '.hidden.png', 'c.aux.png')
    if how == 'glob':
        root.rename(tmp_path / 'set')
        root = tmp_path / 'set'
        inputs = [f'{root}/*.*']
    found = [source.path for source in find_sources(inputs, out=tmp_path / 'out')]
    assert sorted(found) == sorted(root / name for name in expected)


def test_find_sources__nothing_but_sidecars(tmp_path):
    (tmp_path / 'a.tif.aux.xml').touch()
    for inputs in ([tmp_path], [tmp_path / 'a.tif.aux.xml'], [f'{tmp_path}/*']):
        with pytest.raises(InputError, match='no image or video was found'):
            find_sources(inputs, out=tmp_path / 'out')
