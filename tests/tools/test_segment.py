"""``tools/segment.py`` as a user runs it."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin

from support import scripts, tiny_checkpoint
from swinseg.output_record import RECORD_FILE
from swinseg.predictor import Predictor
from swinseg.segment.progress import Progress
from swinseg.visualization import color_blind_palette


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
    return lambda *arguments: scripts.run('segment', checkpoint, *arguments)


def files(folder):
    return sorted(
        str(p.relative_to(folder))
        for p in Path(folder).rglob('*')
        if p.is_file() and p.name != RECORD_FILE
    )


def three(*names):
    return sorted(f'{name}_{kind}.png' for name in names for kind in ('labels', 'color', 'overlay'))


def test_script__segments_a_folder(checkpoint, photos, tmp_path):
    command = ('segment', checkpoint, photos, '--out', tmp_path / 'out')
    result = scripts.run_in_process(*command, folder=tmp_path / 'process')
    assert result.code == 0, result.err
    assert 'Traceback' not in result.err
    assert files(tmp_path / 'out') == three('street', 'sub/street')
    lines = result.out.splitlines()
    assert lines[-1].startswith('2 files segmented; the results are in')
    assert f'[1/2] {photos / "street.png"}: image, 50 x 70, ' in result.out

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
    assert '2 files' in capsys.readouterr().out


def test_main__one_bad_file_is_skipped_and_the_rest_are_done(segment, photos, tmp_path, capsys):
    (photos / 'a.jpg').write_text("text in an image's clothes")
    Image.open(photos / 'street.png').save(photos / 'cut.jpg')
    (photos / 'cut.jpg').write_bytes((photos / 'cut.jpg').read_bytes()[:-100])
    (photos / 'empty.png').write_bytes(b'')
    assert segment(photos, photos / 'missing.jpg', '--out', tmp_path / 'out') == 2
    assert files(tmp_path / 'out') == three('street', 'sub/street')
    printed = capsys.readouterr()
    assert '2 files segmented, 4 skipped; ' in printed.out
    for name in ('a.jpg', 'cut.jpg', 'empty.png', 'missing.jpg'):
        line = next(line for line in printed.out.splitlines() if f'{name}: skipped: ' in line)
        assert line.count(name) >= 2  # the sentence itself names the file too
    assert 'Traceback' not in printed.err


def test_main__no_two_inputs_share_a_result(segment, photos, tmp_path, capsys):
    pixels = Image.open(photos / 'street.png')
    folder = tmp_path / 'three'
    folder.mkdir()
    for name in ('a.jpg', 'a.png', 'a.jpg.png', 'A.JPG', 'n' * 250 + '.png'):
        pixels.save(folder / name)
    assert segment(folder, '--out', tmp_path / 'out') == 0
    labels = {path.name for path in (tmp_path / 'out').glob('*_labels.png')}
    assert len(labels) == len({name.lower() for name in labels}) == 5
    assert {'a.png_labels.png', 'a.jpg.png_labels.png'} < labels
    printed = capsys.readouterr().out
    assert printed.count('the results of ') == 3
    for name in ('a.jpg', 'A.JPG', 'n' * 250 + '.png'):
        assert f'the results of {folder / name} are named ' in printed
    # The same command again.
    before = set(files(tmp_path / 'out'))
    assert segment(folder, '--out', tmp_path / 'out') == 0
    assert set(files(tmp_path / 'out')) == before


def test_main__results_beside_the_inputs(segment, photos, capsys):
    given = (photos, '--out', photos)
    assert segment(*given) == 0
    everything = files(photos)
    assert set(three('street', 'sub/street')) < set(everything)
    assert segment(*given) == 0
    assert files(photos) == everything
    capsys.readouterr()

    mine = photos / 'street_labels.png'
    Image.new('L', (70, 50), 3).save(mine)
    before = mine.read_bytes()
    assert segment(*given) == 2
    assert segment(*given, '--overwrite') == 2  # it is an input, as nobody said that it is not
    assert capsys.readouterr().err.count(f'error: {mine} is an input, and a result of') == 2
    assert segment(photos / 'street.png', '--out', photos) == 2
    assert 'was changed after an earlier call had written it' in capsys.readouterr().err
    assert mine.read_bytes() == before
    assert segment(photos / 'street.png', '--out', photos, '--overwrite') == 0
    assert mine.read_bytes() != before


def test_main__a_file_of_the_user_is_kept_and_the_model_is_not_even_loaded(
    photos, tmp_path, capsys
):
    (photos / 'street_color.png').write_text('a picture of mine')
    arguments = ['no.pth', str(photos / 'street.png'), '--out', str(photos)]
    assert scripts.run('segment', *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {photos / "street_color.png"} is there already and no earlier')
    assert error.count('\n') == 1
    assert (photos / 'street_color.png').read_text() == 'a picture of mine'
    assert files(photos) == ['notes.txt', 'street.png', 'street_color.png', 'sub/street.png']


def test_main__names_of_300_characters_do_not_stop_the_rest(segment, photos, tmp_path, capsys):
    names = ['n' * 300 + suffix for suffix in ('.png', '.tif', '.npy', '.mp4')]
    out = tmp_path / 'out'
    assert segment(*names, photos / 'street.png', '--out', out, '--window', '64') == 2
    printed = capsys.readouterr()
    assert '1 file segmented, 4 skipped' in printed.out
    assert 'Traceback' not in printed.err
    assert segment(photos, '--out', tmp_path / ('n' * 300)) == 2
    assert capsys.readouterr().err.startswith('error: cannot write to the output folder')


def _segment(checkpoint, folder, out):
    torch.set_num_threads(1)
    os._exit(scripts.run('segment', checkpoint, folder, '--out', out, '--sheet'))


KILLS = int(os.environ.get('SWINSEG_KILLS', '3'))


@pytest.mark.slow
def test_main__killed_at_random_moments_it_ends_in_the_same_files(checkpoint, photos, tmp_path):
    for name in ('a.jpg', 'a.png', 'A.png', 'b.tif'):
        shutil.copy(photos / 'street.png', photos / name)
    write_scene(photos / 'map.tif', 400)
    whole = tmp_path / 'whole'
    shutil.copytree(photos, tmp_path / 'copy')
    context = multiprocessing.get_context('fork')

    def start(folder, out):
        process = context.Process(target=_segment, args=(checkpoint, folder, out))
        process.start()
        return process

    began = time.monotonic()
    process = start(tmp_path / 'copy', whole)
    process.join()
    seconds = time.monotonic() - began
    generator, killed = random.Random(0), 0
    for _ in range(KILLS):
        process = start(photos, photos)
        process.join(generator.uniform(0.1, 0.6) * seconds)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        killed += process.exitcode != 0
    process = start(photos, photos)
    process.join()
    assert process.exitcode == 0
    assert killed
    results = {name for name in files(photos) if not (tmp_path / 'copy' / name).exists()}
    assert {name for name in results if '.partial.' not in name} == set(files(whole))
    for name in files(whole):
        if not name.endswith('.json'):  # in which the path of the scene is
            assert (photos / name).read_bytes() == (whole / name).read_bytes(), name


def write_scene(path, height=120, width=90):
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width), np.uint8)
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=3, dtype='uint8',
        crs='EPSG:25832', transform=from_origin(500_000, 5_700_000, 1, 1),
    ) as file:  # fmt: skip
        file.write(pixels)
    return path


def write_video(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for level in range(0, 200, 50):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


def test_main__images_scenes_and_videos_of_one_folder(segment, photos, tmp_path, capsys):
    write_scene(photos / 'map.tif')
    write_video(photos / 'walk.avi')
    out = tmp_path / 'out'
    options = ('--window', '64', '--blend', 'uniform', '--max-memory', '2G')
    assert (
        segment(photos / 'map.tif', photos / 'walk.avi', photos / 'street.png', '--out', out) == 0
    )
    scene_files = [
        f'map_{name}' for name in ('areas.json', 'color.png', 'labels.tif', 'overlay.png')
    ]
    assert set(files(out)) >= {*scene_files, *three('street'), 'walk_areas.csv'}
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith(f'[1/3] {photos / "map.tif"}: scene (GeoTIFF), 120 x 90') for line in lines
    )
    assert any('walk.avi: video, 4 frames' in line for line in lines)
    head = next(i for i, line in enumerate(lines) if line.startswith('file '))
    assert [line.split()[0] for line in lines[head + 1 : -1]] == [
        'map.tif',
        'walk.avi',
        'street.png',
    ]

    assert segment(photos / 'street.png', '--confidence', '--out', out, *options) == 0
    assert 'scene (a window was given)' in capsys.readouterr().out
    assert 'street_confidence.png' in files(out)
    assert segment(photos / 'street.png', '--confidence', '--out', out, *options) == 0
    assert '(done before)' in capsys.readouterr().out


def test_main__a_sheet_of_images_and_scenes(segment, photos, tmp_path, monkeypatch):
    write_scene(photos / 'map.tif')
    write_video(photos / 'walk.avi')
    (photos / 'a.jpg').write_text('no image')
    out = tmp_path / 'out'
    assert segment(photos, '--sheet', '--reject-below', '0.5', '--out', out) == 2
    assert 'sheet.png' in files(out)
    sheet = np.array(Image.open(out / 'sheet.png'))
    # Three tiles: the longer side of each is 320 pixels.
    assert np.prod(sheet.shape[:2]) > 3 * 320 * 200
    monkeypatch.setattr('swinseg.segment.sheets.TILES', 2)
    assert segment(photos, '--sheet', '--out', out) == 2
    first, second = (np.array(Image.open(out / name)) for name in ('sheet.png', 'sheet_2.png'))
    assert second.size < first.size < sheet.size


def test_main__colors_for_every_eye_and_no_borders(segment, photos, tmp_path):
    given = (photos / 'street.png', '--alpha', '0', '--out')
    assert segment(*given, tmp_path / 'plain', '--no-borders') == 0
    assert segment(*given, tmp_path / 'safe', '--palette', 'color-blind') == 0
    photo = np.array(Image.open(photos / 'street.png'))
    height, width = photo.shape[:2]
    shown = [
        np.array(Image.open(tmp_path / name / 'street_overlay.png'))[:height, :width]
        for name in ('plain', 'safe')
    ]
    np.testing.assert_array_equal(shown[0], photo)
    lines = shown[1][(shown[1] != photo).any(2)]
    assert {tuple(color) for color in lines.tolist()} <= set(
        map(tuple, color_blind_palette(4).tolist())
    )
    plain, safe = (Image.open(tmp_path / name / 'street_labels.png') for name in ('plain', 'safe'))
    np.testing.assert_array_equal(np.array(plain), np.array(safe))
    assert safe.getpalette()[:12] == color_blind_palette(4).ravel().tolist()


def test_main__confidence_is_for_images_and_scenes(segment, photos, tmp_path, capsys):
    write_scene(photos / 'map.tif')
    write_video(photos / 'walk.avi')
    assert segment(photos, '--reject-below', '0.99', '--confidence', '--out', tmp_path / 'out') == 2
    printed = capsys.readouterr().out
    assert printed.count('rejected') >= 3
    assert 'walk.avi: skipped: video' in printed
    assert 'street_confidence.png' in files(tmp_path / 'out')


def test_main__bad_scenes_do_not_stop_the_rest(segment, photos, tmp_path, capsys):
    cut = write_scene(photos / 'cut.tif')
    cut.write_bytes(cut.read_bytes()[:20_000])
    write_scene(photos / 'narrow.tif', width=40)
    write_scene(photos / 'wide.tif', 200, 30_000)
    options = ('--window', '64', '--stride', '1', '--max-memory', '32M')
    assert segment(photos / '*.tif', '--out', tmp_path / 'out', *options) == 2
    printed = capsys.readouterr().out
    assert '1 file segmented, 2 skipped' in printed
    assert 'cut.tif cannot be read' in printed
    assert 'allow more' in printed
    assert 'narrow_labels.tif' in files(tmp_path / 'out')


def test_main__ctrl_c_says_what_is_done_and_how_to_go_on(
    segment, photos, tmp_path, capsys, monkeypatch
):
    scene = write_scene(photos / 'map.tif', 600)
    step = Progress.step

    def interrupt(self, what, done, total):
        step(self, what, done, total)
        if done > 300:
            raise KeyboardInterrupt

    arguments = (photos / 'street.png', scene, '--window', '64', '--out', tmp_path / 'out')
    with monkeypatch.context() as patch:
        patch.setattr(Progress, 'step', interrupt)
        assert segment(*arguments) == 130
    printed = capsys.readouterr()
    assert '1 file segmented; ' in printed.out
    assert printed.err.startswith(f'interrupted at {scene}, row ')
    assert printed.err.endswith('of 600; the same command goes on there\n')
    assert segment(*arguments) == 0
    assert 'map.tif: scene (a window was given), 600 x 90' in (out := capsys.readouterr().out)
    assert '(continued at row 3' in out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{photos}/*.bmp', '--out', '{tmp}/out'], 'error: no image or video was found in'),
        (['{photos}', '--out', '{tmp}/file/out'], 'error: cannot write to the output folder'),
        (['{photos}', '--out', '{tmp}/out', '--config', '{tmp}/no.py'], 'error: there is no config'),
        (['{photos}', '--out', '{tmp}/out', '--device', 'gpu7'], "error: device 'gpu7' cannot be"),
        (['{photos}', '--out', '{tmp}/out', '--alpha', '7'], 'error: alpha must lie between 0 and 1'),
        (['{photos}', '--out', '{tmp}/out', '--window', '64', '--stride', '65'], 'error: the stride must'),
        (['{photos}', '--out', '{tmp}/out', '--reject-below', '2'], 'error: reject_below is a prob'),
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
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 and no more')
    arguments = [str(tmp_path / 'cut.pth'), str(photos), '--out', str(tmp_path / 'out')]
    assert scripts.run('segment', *arguments) == 2
    assert 'cut.pth' in capsys.readouterr().err
