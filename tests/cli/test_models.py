"""Models by name on the command line: the list of them, ``--model``, and what goes wrong."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

import swinseg_command
from support import tiny_checkpoint
from support.hub_server import Repository
from support.mmseg_pairs import TINY, build_segmentor, randomize
from support.scripts import assert_one_clear_line
from swinseg.cli import segment, serve, test
from swinseg.cli.frame import parser_of
from swinseg.hub import CATALOGUE, catalogue


@pytest.fixture(autouse=True)
def own_loggers(monkeypatch):
    """No logger of an earlier test, whose stream that test has closed."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


@pytest.fixture
def small_model(hub, tmp_path, monkeypatch):
    """Put a small model of ADE20K in the place of the first of the catalogue, and return its name."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = randomize(build_segmentor(stock=False, backbone=TINY, channels=16))
    torch.save(model.state_dict(), tmp_path / 'small.pth')
    data = (tmp_path / 'small.pth').read_bytes()
    digits = hashlib.sha256(data).hexdigest()[:8]
    hub.content.files[f'/small-{digits}.pth'] = data
    entry = replace(
        CATALOGUE[0],
        embed_dims=TINY['embed_dims'],
        depths=TINY['depths'],
        window_size=TINY['window_size'],
        address=f'{hub.url}/small-{digits}.pth',
    )
    monkeypatch.setattr(catalogue, 'CATALOGUE', (entry, *CATALOGUE[1:]))
    return entry.name


def test_models__lists_them(capsys):
    assert swinseg_command.main(['models']) == 0
    assert 'upernet-swin-t-ade20k ' in capsys.readouterr().out
    assert swinseg_command.main(['models', '--json']) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(CATALOGUE)


@pytest.mark.parametrize(
    ('command', 'arguments', 'expected'),
    [
        (segment, ['m.pth', 'a.jpg', 'b.jpg', '--out', 'o'], ('m.pth', ['a.jpg', 'b.jpg'])),
        (segment, ['m.pth', '--out', 'o', 'a.jpg'], ('m.pth', ['a.jpg'])),
        (segment, ['--model', 'name', 'a.jpg', '--out', 'o'], ('name', ['a.jpg'])),
        (segment, ['a.jpg', 'b.jpg', '--model=name', '--out', 'o'], ('name', ['a.jpg', 'b.jpg'])),
        (segment, ['--out', 'o', '--model', 'name', '--', '--model'], ('name', ['--model'])),
        (test, ['c.py', 'm.pth'], ('m.pth', None)),
        (test, ['c.py', '--tta', 'm.pth'], ('m.pth', None)),
        (test, ['--model', 'name', 'c.py', '--cfg-options', 'a=1'], ('name', None)),
        (test, ['c.py', '--cfg-options', 'a=1', '--model', 'name'], ('name', None)),
        (serve, ['--model', 'name'], ('name', None)),
    ],
)
def test_model__stands_in_the_place_of_the_checkpoint(command, arguments, expected):
    args = parser_of(command.COMMAND).parse_args(arguments)
    assert (args.checkpoint, getattr(args, 'inputs', None)) == expected
    assert getattr(args, 'config', None) in (None, 'c.py')
    # Another call of the same parser is not touched by it.
    parser = parser_of(command.COMMAND)
    assert parser.parse_args(arguments).checkpoint == parser.parse_args(arguments).checkpoint


def test_segment__a_published_model_by_name(small_model, hub, photo, tmp_path, capsys):
    arguments = ['segment', '--model', small_model, str(photo), '--out', str(tmp_path / 'out')]
    assert swinseg_command.main(arguments) == 0
    labels = np.asarray(Image.open(tmp_path / 'out' / 'photo_labels.png'))
    assert labels.shape == (48, 64)
    assert 'photo' in capsys.readouterr().out


def test_segment__a_repository(hub, model_files, photo, tmp_path):
    hub.content.repositories['me/tiny'] = Repository(dict(model_files))
    out = tmp_path / 'out'
    assert swinseg_command.main(['segment', 'hf:me/tiny', str(photo), '--out', str(out)]) == 0
    assert (out / 'photo_overlay.png').is_file()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('upernet-swin-x-ade20k', 'no model .* did you mean upernet-swin-t-ade20k'),
        ('hf:me/nothing', 'has no repository me/nothing, or it is private'),
        ('hf:me/tiny@v9', 'me/tiny has no revision v9'),
        ('{hub}/nothing.pth', 'answers 404 Not Found; check the address'),
        ('{tmp_path}', 'expected config.json and model.safetensors, or a checkpoint'),
    ],
)
def test_segment__bad_names_are_one_line_and_two(
    hub, model_files, photo, tmp_path, capsys, name, message
):
    hub.content.repositories['me/tiny'] = Repository(dict(model_files))
    out = tmp_path / 'out'
    named = name.format(hub=hub.url, tmp_path=tmp_path)
    code = swinseg_command.main(['segment', '--model', named, str(photo), '--out', str(out)])
    assert_one_clear_line(code, capsys, message)
    assert not out.exists() or not list(out.iterdir())


def test_segment__trust_is_for_files(hub, photo, tmp_path, capsys):
    arguments = ['segment', 'hf:me/tiny', str(photo), '--out', str(tmp_path / 'out'), '--trust']
    assert_one_clear_line(swinseg_command.main(arguments), capsys, '--trust is for a checkpoint')


def test_test__a_model_by_name(hub, tmp_path, capsys):
    tiny_checkpoint.make_folder(tmp_path)
    config = tmp_path / 'tiny.py'
    tiny_checkpoint.config(tmp_path).dump(config)
    hub.content.files['/model.pth'] = (tmp_path / 'tiny.pth').read_bytes()
    arguments = ['--model', f'{hub.url}/model.pth', '--out', str(tmp_path / 'out')]
    arguments += ['--work-dir', str(tmp_path / 'work')]
    assert swinseg_command.main(['test', str(config), *arguments]) == 0
    assert 'mIoU' in capsys.readouterr().out
