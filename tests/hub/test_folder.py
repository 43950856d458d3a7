"""Folders that are read: ours, and those of transformers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from support import tiny_checkpoint
from support.transformers_models import (
    IS_5,
    TOLERANCE,
    by_transformers,
    load_processor,
    theirs,
    transformers,
    upernet,
)
from swinseg import Predictor
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.errors import CheckpointError, UserError
from swinseg.hub.folder import read_folder
from swinseg.hub.folder_writing import write_folder


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'resize': [dict(type='Resize', scale=(256, 64), keep_ratio=True)]},
        {'model': {'data_preprocessor': {'bgr_to_rgb': False}}},
        {'model': {'data_preprocessor': {'test_cfg': dict(size_divisor=32)}}},
        {'model': {'test_cfg': dict(mode='slide', crop_size=(48, 48), stride=(32, 32))}},
    ],
    ids=['own size', 'keep_ratio', 'blue first', 'padded', 'windows'],
)
def test_read_folder__same_labels_and_confidence(options, trained, tmp_path):
    source = trained(**options)
    (image, *_) = tiny_checkpoint.make_images(tmp_path)
    write_folder(source, tmp_path / 'out')
    ours, back = (Predictor.from_checkpoint(path) for path in (source, tmp_path / 'out'))
    assert back.classes == ours.classes == tiny_checkpoint.CLASSES
    np.testing.assert_array_equal(back.palette, tiny_checkpoint.PALETTE)
    for tta in (False, True):
        wanted, found = (p(image, confidence=True, tta=tta) for p in (ours, back))
        np.testing.assert_array_equal(found.labels, wanted.labels)
        # The first layer's channels are added in another order where blue came first.
        np.testing.assert_allclose(found.confidence, wanted.confidence, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    'fields',
    [
        {},
        {'use_auxiliary_head': False},
        {'auxiliary_num_convs': 2, 'auxiliary_concat_input': True, 'pool_scales': (1, 3)},
    ],
    ids=['plain', 'no auxiliary head', 'other heads'],
)
def test_read_folder__of_transformers_gives_its_logits(fields, tmp_path):
    model, folder = upernet(tmp_path, **fields)
    predictor = Predictor.from_checkpoint(folder)
    assert predictor.classes == ('sky', 'road', 'car')
    pixels = torch.randn(1, 3, 70, 93)
    with torch.no_grad():
        wanted = model(pixels).logits
        meta = dict(img_shape=(70, 93), ori_shape=(70, 93), pad_shape=(70, 93))
        found = predictor.model.inference(pixels, [meta])
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'size': {'height': 64, 'width': 96}, 'resample': 3},
        {'do_resize': False},
        {
            'do_resize': False,
            'do_rescale': False,
            'image_mean': [90, 80, 70],
            'image_std': [60] * 3,
        },
        {'do_resize': False, 'do_normalize': False},
        # 256 x 192 of 128 x 96: sizes that need no rounding
        {'size': {'shortest_edge': 192, 'longest_edge': 512}},
        {'size': {'shortest_edge': 192, 'longest_edge': 200}},
        {'size': {'shortest_edge': 64}},
    ],
    ids=str,
)
def test_read_folder__of_transformers_gives_its_labels(settings, tmp_path):
    model, folder = upernet(tmp_path, processor=False)
    transformers.SegformerImageProcessor(**settings).save_pretrained(folder)
    # Pillow's own resize, from which torchvision's differs by 1 here and there. That of transformers 4 knows
    # nothing but height and width.
    is_bounded = 'shortest_edge' in settings.get('size', {})
    processor = load_processor(folder, 'torchvision' if is_bounded and not IS_5 else 'pil')
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(np.kron(coarse, np.ones((16, 16, 1), np.uint8)))
    wanted, is_clear = by_transformers(model, processor, image)
    assert len(np.unique(wanted)) > 1
    assert is_clear.mean() > 0.999
    found = Predictor.from_checkpoint(folder)(image).labels
    assert not ((found != wanted) & is_clear).any()


def test_read_folder__shards_and_old_files(tmp_path):
    model, folder = upernet(tmp_path)
    single = read_folder(folder)
    model.save_pretrained(tmp_path / 'shards', max_shard_size='200KB')
    shutil.copy(folder / 'preprocessor_config.json', tmp_path / 'shards')
    assert len(list((tmp_path / 'shards').glob('model-*.safetensors'))) > 1
    old = tmp_path / 'old'
    shutil.copytree(folder, old)
    torch.save(load_file(old / 'model.safetensors'), old / 'pytorch_model.bin')
    (old / 'model.safetensors').unlink()
    for other in (tmp_path / 'shards', old):
        found = read_folder(other)
        assert found['meta'] == single['meta']
        assert found['state_dict'].keys() == single['state_dict'].keys()
        for key, value in single['state_dict'].items():
            assert torch.equal(found['state_dict'][key], value)


def test_read_folder__what_it_gives(trained, tmp_path):
    source = trained()
    write_folder(source, tmp_path / 'out')
    found = read_folder(tmp_path / 'out')
    original = torch.load(source, weights_only=True)['state_dict']
    assert found['state_dict'].keys() == original.keys()
    assert all(torch.equal(found['state_dict'][key], original[key]) for key in original)
    meta = checkpoint_meta(found)
    assert meta['classes'] == tiny_checkpoint.CLASSES
    assert meta['palette'] == tiny_checkpoint.PALETTE
    assert sorted(meta['config']) == ['model', 'test_pipeline', 'tta_pipeline']
    # Where the data of the training lie is not told.
    with safe_open(tmp_path / 'out' / 'model.safetensors', framework='pt') as file:
        assert str(tmp_path) not in json.dumps(file.metadata())


def edit(folder, name='config.json', **changes):
    content = json.loads((folder / name).read_text())
    for key, value in changes.items():
        part = content['backbone_config'] if key.startswith('backbone_') else content
        part[key.removeprefix('backbone_')] = value
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda f: (f / 'config.json').unlink(), r'has no config\.json; expected one with'),
        (lambda f: (f / 'config.json').write_text('{"a":'), r'config\.json is not JSON'),
        (lambda f: edit(f, model_type='segformer'), "model of the type 'segformer'; expected 'upe"),
        (lambda f: edit(f, backbone_model_type='convnext'), "the backbone 'convnext'; expected"),
        (lambda f: edit(f, backbone_use_absolute_embeddings=True), 'use_absolute_embeddings=True'),
        (lambda f: edit(f, backbone_num_channels=4), r'backbone_config\.num_channels=4'),
        (lambda f: edit(f, backbone_hidden_act='relu'), "hidden_act='relu'; expected 'gelu'"),
        (lambda f: edit(f, backbone_layer_norm_eps=1e-3), r'layer_norm_eps=0\.001'),
        (lambda f: edit(f, backbone_out_features=['stage4']), r"out_features=\['stage4'\]"),
        (lambda f: edit(f, backbone_depths='many'), "depths='many', where whole numbers"),
        (lambda f: edit(f, backbone_depths=[1, 1, 2, 10**7]), 'asks for|needs'),
        (lambda f: edit(f, backbone_depths=[1, 1, 3, 1]), 'differs|missing|fills'),
        (lambda f: edit(f, hidden_size=32), 'does not fit the whole model'),
        (lambda f: edit(f, id2label={'0': 'sky', '2': 'road'}), "a name for each class from"),
        (lambda f: edit(f, id2label={'0': 'sky', '1': '\x1b[2J', '2': 'car'}), 'list of class names'),
        (lambda f: (f / 'preprocessor_config.json').unlink(), 'has no preprocessor_config.json, so'),
        (
            lambda f: edit(f, 'preprocessor_config.json', image_processor_type='ViTImageProcessor'),
            "is of 'ViTImageProcessor'; expected SegformerImageProcessor",
        ),
        (lambda f: edit(f, 'preprocessor_config.json', image_mean=[0.5]), r'image_mean=\[0\.5\]'),
        (lambda f: edit(f, 'preprocessor_config.json', image_std=[0, 1, 1]), 'must be above 0'),
        (lambda f: edit(f, 'preprocessor_config.json', size={'height': 5}), 'resizes to size='),
        (lambda f: edit(f, 'preprocessor_config.json', size={'height': -5, 'width': 9}), 'resizes'),
        (lambda f: edit(f, 'preprocessor_config.json', resample=77), 'resample=77'),
        (lambda f: edit(f, 'preprocessor_config.json', do_center_crop=True), 'do_center_crop=true'),
        (lambda f: (f / 'model.safetensors').unlink(), r'has no model\.safetensors'),
        (lambda f: (f / 'model.safetensors').write_bytes(b''), r'model\.safetensors is empty'),
        (
            lambda f: save_file({'a': torch.zeros(1)}, f / 'model.safetensors'),
            'theirs: the weights are of no known format',
        ),
    ],
)  # fmt: skip
def test_read_folder__what_is_wrong(change, expected, tmp_path):
    _, folder = upernet(tmp_path)
    change(folder)
    with pytest.raises(UserError, match=expected) as caught:
        Predictor.from_checkpoint(folder)
    assert '\n' not in str(caught.value)


def test_read_folder__a_config_of_the_own_needs_no_image_processor(trained, tmp_path):
    source = trained()
    write_folder(source, tmp_path / 'out')
    theirs(tmp_path / 'out').save_pretrained(tmp_path / 'again')
    with pytest.raises(CheckpointError, match='has no preprocessor_config'):
        Predictor.from_checkpoint(tmp_path / 'again')
    config = tmp_path / 'config.py'
    config.write_text(torch.load(source, weights_only=True)['meta']['cfg'])
    (image, *_) = tiny_checkpoint.make_images(tmp_path)
    found = Predictor.from_checkpoint(tmp_path / 'again', config)(image).labels
    np.testing.assert_array_equal(found, Predictor.from_checkpoint(source)(image).labels)
