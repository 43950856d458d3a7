"""The picture of sample predictions at each validation of a training."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from swinseg.engine import ConfigError, load_config, train
from swinseg.engine.hooks import sample_predictions
from swinseg.engine.hooks.sample_predictions import SamplePredictionsHook, _rgb

# As older configs have it.
ONLY_SAMPLES = "custom_hooks = [dict(type='SamplePredictionsHook', count=9)]"


@pytest.fixture(scope='module')
def vis_data(tmp_path_factory, tiny_dataset):
    """The ``vis_data`` folder of a training of two validations on two images."""
    from support.tiny_config import tiny_config

    folder = tmp_path_factory.mktemp('samples')
    config = folder / 'tiny.py'
    config.write_text(f'{tiny_config(tiny_dataset)}\n{ONLY_SAMPLES}\n')
    train(load_config(config), work_dir=folder / 'work', check=False)
    (found,) = (folder / 'work').glob('*/vis_data')
    return found


def test_samples__one_picture_at_each_validation(vis_data, tiny_dataset):
    names = sorted(path.name for path in (vis_data / 'vis_image').iterdir())
    assert names == ['samples_2.png', 'samples_4.png']
    sheet = np.array(Image.open(vis_data / 'vis_image' / 'samples_4.png'))
    photos = sorted((tiny_dataset / 'images' / 'validation').iterdir())
    top = 22
    for photo in photos:
        image = Image.open(photo).convert('RGB')
        height = round(320 * image.height / image.width)
        expected = np.array(image.resize((320, height), Image.Resampling.BILINEAR), float)
        shown = sheet[top : top + height, :320].astype(float)
        assert np.abs(shown - expected).mean() < 6, 'the photograph, its red and blue not exchanged'
        top += height + 22
    assert sheet.shape[1] >= 3 * 320


def test_samples__are_images_of_tensorboard(vis_data):
    events = EventAccumulator(str(vis_data)).Reload()
    assert events.Tags()['images'] == ['samples']
    images = events.Images('samples')
    assert [image.step for image in images] == [2, 4]
    stored = np.array(Image.open(io.BytesIO(images[1].encoded_image_string)))
    local = np.array(Image.open(vis_data / 'vis_image' / 'samples_4.png'))
    assert np.array_equal(stored, local)


def test_samples__what_cannot_be_drawn_does_not_stop_training(
    write_tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(sample_predictions, '_ignore_index', lambda runner: 254)
    cfg = load_config(write_tiny_config(extra=ONLY_SAMPLES))
    train(cfg, work_dir=tmp_path / 'work', check=False)
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
    assert not list((tmp_path / 'work').glob('*/vis_data/vis_image/*'))
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert (
        'no sample predictions were drawn: the palette has 10 colors, but the label 255'
        in log.read_text()
    )


@pytest.mark.parametrize('count', [0, -1, 1.5, 'all'])
def test_samples__count_must_be_one_or_more(count):
    with pytest.raises(ConfigError, match='count of SamplePredictionsHook must be 1 image or more'):
        SamplePredictionsHook(count=count)


def test_rgb__of_bgr_gray_and_floats():
    bgr = torch.tensor([[[1]], [[2]], [[3]]], dtype=torch.uint8)
    assert _rgb(bgr).tolist() == [[[3, 2, 1]]]
    assert _rgb(bgr[:1]).tolist() == [[[1, 1, 1]]]
    assert _rgb(torch.tensor([[[300.0]], [[-5.0]], [[7.0]]])).tolist() == [[[7, 0, 255]]]
