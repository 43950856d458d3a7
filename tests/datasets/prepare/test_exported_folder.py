"""The folder of a dataset by its zip archive, or by a file in it."""

import zipfile
from argparse import ArgumentParser

import numpy as np
import pytest
from PIL import Image

from support.prepared import KITE, STAR, drawn, save_image
from swinseg.datasets.prepare import PrepareError
from swinseg.datasets.prepare.command_line import LAYOUTS
from swinseg.datasets.prepare.exported_folder import exported_folder


def corners(points):
    return ';'.join(f'{x},{y}' for x, y in points)


@pytest.fixture
def export(tmp_path):
    """A folder as CVAT exports it."""
    root = tmp_path / 'export'
    save_image(root / 'images' / 'a.png')
    shapes = ''.join(
        f'<polygon label="{name}" points="{corners(outline)}" z_order="{order}"/>'
        for order, (name, outline) in enumerate((('road', STAR), ('car', KITE)))
    )
    labels = '<label><name>road</name></label><label><name>car</name></label>'
    (root / 'annotations.xml').write_text(
        f'<annotations><meta><task><labels>{labels}</labels></task></meta>'
        f'<image id="0" name="a.png" width="36" height="24">{shapes}</image></annotations>'
    )
    return root


def zipped(folder, archive, *, below=''):
    with zipfile.ZipFile(archive, 'w') as content:
        for path in sorted(folder.rglob('*')):
            if path.is_file():
                content.write(path, f'{below}{path.relative_to(folder)}')
    return archive


def convert(root, out):
    layout = LAYOUTS['cvat']
    parser = ArgumentParser()
    parser.add_argument('--out')
    layout.add_arguments(parser)
    args = parser.parse_args([str(root), '--out', str(out), '--val-share', '0'])
    said = layout.convert(args)
    return said, np.array(Image.open(out / 'labels' / 'train' / 'a.png'))


@pytest.mark.parametrize('kind', ['folder', 'file', 'zip', 'zip with a folder'])
def test_cvat__however_it_is_named(export, tmp_path, kind):
    given = {
        'folder': lambda: export,
        'file': lambda: export / 'annotations.xml',
        'zip': lambda: zipped(export, tmp_path / 'task.zip'),
        'zip with a folder': lambda: zipped(export, tmp_path / 'task.zip', below='project/'),
    }[kind]()
    before = {path.name for path in tmp_path.iterdir()}
    said, label = convert(given, tmp_path / 'out')
    np.testing.assert_array_equal(label, drawn([(STAR, 1), (KITE, 2)]))
    assert '1 train images' in said
    assert {path.name for path in tmp_path.iterdir()} == before | {'out'}


def test_exported_folder__a_file_of_a_split(tmp_path):
    save_image(tmp_path / 'train' / 'a.png')
    path = tmp_path / 'train' / '_classes.csv'
    path.touch()
    with exported_folder(path, out=tmp_path / 'out') as folder:
        assert folder == tmp_path


def test_exported_folder__folders_of_splits_stay(tmp_path):
    archive = zipped(save_image(tmp_path / 'x' / 'train' / 'a.png').parents[1], tmp_path / 'a.zip')
    with exported_folder(archive, out=tmp_path / 'out') as folder:
        assert [each.name for each in folder.iterdir()] == ['train']


@pytest.mark.parametrize('name', ['../a', '/a'])
def test_exported_folder__an_archive_that_leads_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as content:
        content.writestr(name, 'x')
    with (
        pytest.raises(PrepareError, match='leads out of its folder'),
        exported_folder(tmp_path / 'a.zip', out=tmp_path / 'out'),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ['a.zip']


def test_exported_folder__a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w', zipfile.ZIP_DEFLATED) as content:
        content.writestr('a', bytes(16))
    data = bytearray((tmp_path / 'a.zip').read_bytes())
    entry = data.index(b'PK\x01\x02')
    data[entry + 24 : entry + 28] = (2**31).to_bytes(4, 'little')
    (tmp_path / 'a.zip').write_bytes(data)
    with (
        pytest.raises(PrepareError, match='has 1 entries of 2147483648 bytes, expected'),
        exported_folder(tmp_path / 'a.zip', out=tmp_path / 'out'),
    ):
        pass


def test_exported_folder__others_stay(tmp_path):
    for name in ('data.yaml', 'missing', '.'):
        with exported_folder(tmp_path / name, out=tmp_path / 'out') as folder:
            assert folder == tmp_path / name
