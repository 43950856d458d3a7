"""Commands that the pages show are run as they stand, or marked with what they need that is not at hand."""

from __future__ import annotations

import glob
import re
import shlex
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from test_docs import PAGES

from support import documented_commands
from support.tiny_config import tiny_config
from swinseg.cli import main

NEEDS = {
    r'--model |upernet-swin-|swin_tiny_patch4|model\.safetensors photo': 'weights from the network',
    r'push .*--private': 'a token of the hub',
    r'^torchrun|^srun': 'several processes or machines; tests/test_launched.py starts some',
    r'^(SWINSEG_TOKEN=\S+ .*)?swinseg serve|hex 16\) swinseg serve': 'a server; tests/test_wheel.py starts one',
    r'(check|train|test|prepare) (recipes/)?(upernet_\w+_)?(ade20k|camvid|binary|multilabel)': 'a dataset',
    r'(train|test) upernet_swin_t_mini': 'minutes; it is what make demo does',
    r'^swinseg compare': 'the reports of two such trainings; tests/tools/test_compare.py has some',
    r'bands': 'the images that its page draws; tests/test_bands_page.py draws and runs them',
    r'train CONFIG': 'a config of the reader',
    r'--device cuda': 'a GPU',
    r's3://': 'a server of S3; tests/segment/bulk/test_storage.py starts one',
    r'--class-masks': 'a model of classes that overlap; tests/predictor/test_multi_label.py trains one',
}
"""Commands that are not run, by a pattern, and the reason."""


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_run, tiny_dataset):
    """What the pages take for granted: trainings, configs, photographs, a scene, a film and an export of YOLO."""
    monkeypatch.chdir(tmp_path)
    best = next(tiny_run.glob('best_mIoU_*.pth'))
    for name in ('mini', 'mini_wide'):
        shutil.copytree(tiny_run, tmp_path / 'work_dirs' / name)
    (tmp_path / 'work_dirs' / 't').mkdir()
    for copy in ('work_dirs/mini/best.pth', 'work_dirs/t/best_mIoU_iter_160000.pth', 'CHECKPOINT'):
        shutil.copy(best, tmp_path / copy)
    for name in ('mine.py', 'my_config.py'):
        (tmp_path / name).write_text(tiny_config(tiny_dataset))
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    dataset = tmp_path / 'path' / 'to' / 'dataset'
    for name in ('photos/a.jpg', 'map.tif', 'scene.tif', 'path/to/dataset/images/train/a.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / 'photos.txt').write_text('photos/a.jpg\n')
    film = cv2.VideoWriter(str(tmp_path / 'walk.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48))
    for _ in range(2):
        film.write(pixels)
    film.release()
    (dataset / 'labels' / 'train').mkdir(parents=True)
    (dataset / 'labels' / 'train' / 'a.txt').write_text('0 0.1 0.1 0.9 0.1 0.9 0.9\n')
    (dataset / 'data.yaml').write_text(
        'path: .\ntrain: images/train\nval: images/train\nnames: [kite]\n'
    )
    return tmp_path


def reason(line):
    """Return why a command is not run, or None."""
    return next((why for pattern, why in NEEDS.items() if re.search(pattern, line)), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    'page',
    [
        # What it says is what the tests of the exports do.
        pytest.param(page, marks=pytest.mark.full) if page.name == 'export.md' else page
        for page in PAGES
    ],
    ids=lambda page: page.name,
)
def test_commands__end_well_or_say_what_they_need(page, folder, capsys):
    for line in documented_commands.in_blocks(page.read_text(encoding='utf-8')):
        if reason(line) is not None:
            continue
        command, words = documented_commands.command_and_arguments(line)
        arguments = [found for word in words for found in sorted(glob.glob(word)) or [word]]
        assert main(command, arguments) == 0, (line, capsys.readouterr().err)


def test_marks__are_each_of_some_command():
    lines = [
        line
        for page in PAGES
        for line in documented_commands.in_blocks(page.read_text(encoding='utf-8'))
    ]
    assert [
        pattern for pattern in NEEDS if not any(re.search(pattern, line) for line in lines)
    ] == []
    run = [line for line in lines if reason(line) is None]
    assert len(run) >= 15, shlex.join(run)
