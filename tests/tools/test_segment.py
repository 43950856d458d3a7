"""``tools/segment.py`` as a user runs it."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import tiny_checkpoint
from swinseg.cli import run
from swinseg.predictor import Predictor

SCRIPT = Path(__file__).parents[2] / 'tools' / 'segment.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    root = tmp_path_factory.mktemp('checkpoint')
    return tiny_checkpoint.save(root / 'tiny.pth', tiny_checkpoint.config(root))


@pytest.fixture
def photos(tmp_path):
    first, second, _ = tiny_checkpoint.make_images(tmp_path / 'data')
    folder = tmp_path / 'photos'
    (folder / 'sub').mkdir(parents=True)
    shutil.copy(first, folder / 'street.png')
    shutil.copy(second, folder / 'sub' / 'street.png')
    (folder / 'notes.txt').write_text('not an image, and not asked for')
    return folder


@pytest.fixture
def segment(checkpoint):
    main = runpy.run_path(str(SCRIPT))['main']

    def call(*arguments):
        return run(lambda: main([str(checkpoint), *map(str, arguments)]))

    return call


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob('*') if p.is_file())


def three(*names):
    return sorted(f'{name}_{kind}.png' for name in names for kind in ('labels', 'color', 'overlay'))


@pytest.mark.slow
def test_script__segments_a_folder(checkpoint, photos, tmp_path):
    command = [sys.executable, SCRIPT, checkpoint, photos, '--out', tmp_path / 'out']
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert 'Traceback' not in result.stderr
    assert files(tmp_path / 'out') == three('street', 'sub/street')
    lines = result.stdout.splitlines()
    assert lines[-1].startswith('2 images segmented; labels, colours and overlays are in')
    assert f'[1/2] {photos / "street.png"}: ' in result.stdout

    expected = Predictor.from_checkpoint(checkpoint)(photos / 'street.png')
    written = Image.open(tmp_path / 'out' / 'street_labels.png')
    np.testing.assert_array_equal(np.array(written), expected.labels)
    assert written.getpalette()[:12] == np.ravel(tiny_checkpoint.PALETTE).tolist()
    overlay = Image.open(tmp_path / 'out' / 'street_overlay.png')
    np.testing.assert_array_equal(np.array(overlay), expected.overlay())


def test_main__globs_options_and_a_second_call(segment, photos, tmp_path, capsys):
    out = photos / 'masks'
    for _ in range(2):  # results inside the input folder are not segmented again
        assert segment(photos, '--out', out, '--tta', '--alpha', '0.9', '--device', 'cpu') == 0
    assert files(out) == three('street', 'sub/street')
    assert segment(photos / '*' / '*.png', '--out', tmp_path / 'out') == 0
    assert '2 images' in capsys.readouterr().out


def test_main__one_bad_file_is_skipped_and_the_rest_are_done(segment, photos, tmp_path, capsys):
    (photos / 'a.jpg').write_text("text in an image's clothes")
    Image.open(photos / 'street.png').save(photos / 'cut.jpg')
    (photos / 'cut.jpg').write_bytes((photos / 'cut.jpg').read_bytes()[:-100])
    (photos / 'empty.png').write_bytes(b'')
    assert segment(photos, photos / 'missing.jpg', '--out', tmp_path / 'out') == 2
    assert files(tmp_path / 'out') == three('street', 'sub/street')
    printed = capsys.readouterr()
    assert '2 images segmented, 4 skipped; ' in printed.out
    for name in ('a.jpg', 'cut.jpg', 'empty.png', 'missing.jpg'):
        line = next(line for line in printed.out.splitlines() if f'{name}: skipped: ' in line)
        assert line.count(name) >= 2  # the sentence itself names the file too
    assert 'Traceback' not in printed.err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{photos}/*.bmp', '--out', '{tmp}/out'], 'error: no image was found in'),
        (['{photos}', '--out', '{tmp}/file/out'], 'error: cannot write to the output folder'),
        (['{photos}', '--out', '{tmp}/out', '--config', '{tmp}/no.py'], 'error: there is no config'),
        (['{photos}', '--out', '{tmp}/out', '--device', 'gpu7'], "error: device 'gpu7' cannot be"),
        (['{photos}', '--out', '{tmp}/out', '--alpha', '7'], 'error: alpha must lie between 0 and 1'),
    ],
)  # fmt: skip
def test_main__bad_input_is_one_line_and_two(segment, photos, tmp_path, capsys, arguments, message):
    (tmp_path / 'file').write_text('')
    assert segment(*(a.format(photos=photos, tmp=tmp_path) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count('\n') == 1
    assert not list((tmp_path).glob('out/*'))


def test_main__a_broken_checkpoint(photos, tmp_path, capsys):
    main = runpy.run_path(str(SCRIPT))['main']
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 and no more')
    arguments = [str(tmp_path / 'cut.pth'), str(photos), '--out', str(tmp_path / 'out')]
    assert run(lambda: main(arguments)) == 2
    assert 'cut.pth' in capsys.readouterr().err
