"""Folders written for transformers, and what it computes with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from support import hub_folders, scripts, tiny_checkpoint
from support.mmseg_pairs import VARIANTS, build_segmentor, randomize
from support.transformers_models import (
    PILLOW,
    TOLERANCE,
    by_transformers,
    load_processor,
    theirs,
    transformers,
)
from swinseg import Predictor
from swinseg.checkpoints.convert import convert
from swinseg.errors import CheckpointError, UserError
from swinseg.files import OutputError
from swinseg.hub.folder import FILES, read_folder
from swinseg.hub.folder_writing import write_folder

DATA = os.environ.get('SWINSEG_TEST_DATA')


def checkpoint_of(model, path, model_config, classes):
    cfg = Config(
        dict(
            model=model_config,
            test_pipeline=[dict(type='LoadImage'), dict(type='PackSegInputs')],
        )
    )
    meta = {'cfg': cfg.pretty_text, 'dataset_meta': {'classes': classes}}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, path)
    return path


def variant(letter, *, narrow):
    settings = dict(VARIANTS[letter])
    if narrow:  # four channels for each head instead of 32
        settings['embed_dims'] //= 8
    width = settings['embed_dims']
    options = dict(backbone=settings, channels=32 if narrow else 512, num_classes=9)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = randomize(build_segmentor(stock=False, **options)).eval()
    head = dict(num_classes=9, norm_cfg=dict(type='BN'), align_corners=False)
    config = dict(
        type='SwinSegmentor',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[120.0, 110, 100], std=[60.0, 55, 50], bgr_to_rgb=True
        ),
        backbone=dict(type='SwinBackbone', **settings),
        decode_head=dict(
            type='UPerNetHead', in_channels=[width, 2 * width, 4 * width, 8 * width],
            in_index=[0, 1, 2, 3], channels=options['channels'], **head,
        ),
        auxiliary_head=dict(
            type='FCNHead', in_channels=4 * width, in_index=2, channels=options['channels'] // 2,
            num_convs=1, concat_input=False, **head,
        ),
    )  # fmt: skip
    return model, config


def assert_same_logits(ours, folder, size):
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = theirs(folder)(pixels).logits
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
        wanted = ours.inference(pixels, [meta])
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('letter', 'TSBL')
def test_write_folder__transformers_gives_our_logits(letter, tmp_path):
    model, config = variant(letter, narrow=True)
    source = checkpoint_of(model, tmp_path / 'a.pth', config, [f'c{i}' for i in range(9)])
    receipt = write_folder(source, tmp_path / 'out')
    assert receipt.notes == ()
    # Sides that neither patches nor windows divide.
    assert_same_logits(model, tmp_path / 'out', (97, 134))


@pytest.mark.full
@pytest.mark.parametrize(
    'letter',
    list('TSBL'),
)
def test_write_folder__transformers_gives_our_logits_at_full_width(letter, tmp_path):
    model, config = variant(letter, narrow=False)
    source = checkpoint_of(model, tmp_path / 'a.pth', config, [f'c{i}' for i in range(9)])
    write_folder(source, tmp_path / 'out')
    assert_same_logits(model, tmp_path / 'out', (97, 134))


def photographs():
    root = Path(DATA)
    files = [
        *sorted(root.glob('ade20k/images/validation/*.jpg'))[:2],
        *sorted(root.glob('camvid/images/val/*.jpg'))[:1],
    ]
    assert len(files) == 3
    return files


@pytest.mark.skipif(not DATA, reason='SWINSEG_TEST_DATA is not set')
@pytest.mark.parametrize(
    ('options', 'backend', 'most_different'),
    [
        ({}, 'torchvision', 0.0),
        ({'model': {'data_preprocessor': {'bgr_to_rgb': False}}}, 'torchvision', 0.0),
        ({'resize': [PILLOW]}, 'pil', 0.0),
        # torchvision rounds one value in a thousand otherwise than Pillow.
        ({'resize': [PILLOW]}, 'torchvision', 1e-3),
        # OpenCV's pixels, which the receipt warns of.
        ({'resize': [dict(type='Resize', scale=(512, 128), keep_ratio=True)]}, 'torchvision', 0.15),
    ],
    ids=['own size', 'blue first', 'by Pillow', 'by Pillow and torchvision', 'by OpenCV'],
)
def test_write_folder__labels_by_the_image_processor(
    options, backend, most_different, trained, tmp_path
):
    source = trained(**options)
    receipt = write_folder(source, tmp_path / 'out')
    assert bool(receipt.notes) == (most_different == 0.15)
    predictor = Predictor.from_checkpoint(source)
    model = theirs(tmp_path / 'out')
    processor = load_processor(tmp_path / 'out', backend)
    for file in photographs():
        ours = predictor(file).labels
        assert len(np.unique(ours)) == len(tiny_checkpoint.CLASSES)
        found, is_clear = by_transformers(model, processor, Image.open(file).convert('RGB'))
        assert is_clear.mean() > 0.999
        assert ((found != ours) & is_clear).mean() <= most_different, file


def test_write_folder__the_auxiliary_head_stays(trained, tmp_path):
    source = trained()
    write_folder(source, tmp_path / 'out')
    fields = json.loads((tmp_path / 'out' / 'config.json').read_text())
    assert fields['use_auxiliary_head']
    assert fields['auxiliary_channels'] == 12
    assert fields['auxiliary_loss_weight'] == 0.3
    model = theirs(tmp_path / 'out')
    weights = torch.load(source, weights_only=True)['state_dict']
    torch.testing.assert_close(
        model.auxiliary_head.convs[0].conv.weight, weights['auxiliary_head.convs.0.conv.weight']
    )
    assert model.config.id2label == dict(enumerate(tiny_checkpoint.CLASSES))
    assert model.config.label2id['car'] == 3


@pytest.mark.parametrize(
    ('auxiliary', 'reason'),
    [
        (dict(in_index=1, in_channels=32), 'in_index=1'),
        (dict(align_corners=True), 'align_corners=True'),
        (dict(dilation=2), 'dilation=2'),
    ],
)
def test_write_folder__an_auxiliary_head_that_is_left_out(auxiliary, reason, trained, tmp_path):
    source = trained(auxiliary={**hub_folders.AUXILIARY, **auxiliary})
    receipt = write_folder(source, tmp_path / 'out')
    assert len(receipt.notes) == 1
    assert 'The auxiliary head, which only training uses, is left out' in receipt.notes[0]
    assert reason in receipt.notes[0]
    assert theirs(tmp_path / 'out').auxiliary_head is None
    assert not any('auxiliary' in key for key in read_folder(tmp_path / 'out')['state_dict'])
    Predictor.from_checkpoint(tmp_path / 'out')


def test_write_folder__a_checkpoint_without_its_auxiliary_head(trained, tmp_path):
    source = trained()
    content = torch.load(source, weights_only=True)
    content['state_dict'] = {k: v for k, v in content['state_dict'].items() if 'auxiliary' not in k}
    torch.save(content, source)
    receipt = write_folder(source, tmp_path / 'out')
    assert 'the checkpoint has none' in receipt.notes[0]
    theirs(tmp_path / 'out')


@pytest.mark.parametrize(
    ('options', 'note'),
    [
        (
            {'model': {'test_cfg': dict(mode='slide', crop_size=(48, 48), stride=(32, 32))}},
            r'tested by sliding windows of \(48, 48\) .* transformers computes the whole image',
        ),
        (
            {'model': {'data_preprocessor': {'test_cfg': dict(size_divisor=32)}}},
            r'Images are padded \(size_divisor=32\)',
        ),
        ({'resize': [dict(type='Resize', scale_factor=0.5)]}, 'cannot resize by a factor'),
        ({'resize': [PILLOW, PILLOW]}, 'resizes them more than once'),
        ({'resize': [dict(type='Resize', scale=(64, 64))]}, 'resizes by cv2'),
        ({'resize': [{**PILLOW, 'keep_ratio': True}]}, 'one pixel shorter'),
        ({'resize': [dict(type='ResizeToMultiple')]}, 'does not do ResizeToMultiple'),
        ({'dataset': {'label_map': {0: 0, 7: 1}}}, 'mapped by label_map'),
    ],
)
def test_write_folder__says_what_transformers_does_otherwise(options, note, trained, tmp_path):
    receipt = write_folder(trained(**options), tmp_path / 'out')
    assert len(receipt.notes) == 1
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(receipt.notes[0])
    assert f'- {receipt.notes[0]}'.replace('_', r'\_') in (tmp_path / 'out/README.md').read_text()


def test_write_folder__a_range_of_values(trained, tmp_path):
    source = trained()
    hub_folders.rewrite_config(
        source, {'test_dataloader.dataset.pipeline.0.value_range': (0, 4095)}
    )
    (note,) = write_folder(source, tmp_path / 'out').notes
    assert 'to 0..255 by the value_range (0, 4095) before' in note


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'model.backbone.type': 'ResNet'}, r"needs a Swin Transformer, found .*'ResNet'"),
        ({'model.decode_head.type': 'FCNHead'}, 'needs UPerNetHead or UPerHead, found .*FCNHead'),
        ({'model.backbone.use_abs_pos_embed': True}, 'use_abs_pos_embed=True'),
        ({'model.backbone.in_channels': 4}, 'found model.backbone.in_channels=4'),
        ({'model.backbone.attention': 'global'}, "attention='global'"),
        ({'model.backbone.shifted_windows': 'none'}, "shifted_windows='none'"),
        ({'model.backbone.use_rel_pos_bias': False}, 'use_rel_pos_bias=False'),
        ({'model.backbone.qk_scale': 0.5}, 'qk_scale=0.5'),
        ({'model.backbone.patch_norm': False}, 'patch_norm=False'),
        ({'model.backbone.out_indices': (1, 2, 3)}, r'out_indices=\[1, 2, 3\]'),
        ({'model.backbone.strides': (2, 2, 2, 2)}, r'strides=\[2, 2, 2, 2\]'),
        ({'model.backbone.act_cfg': dict(type='ReLU')}, 'GELU, found model.backbone.act_cfg'),
        ({'model.backbone.norm_cfg': dict(type='LN', eps=1e-6)}, 'LN with eps=1e-05'),
        ({'model.backbone.another': 3}, 'needs a part without another'),
        ({'model.backbone.depths': (2, 2, 6, 2)}, r'has depths=\(2, 2, 2, 2\) by its weights'),
        ({'model.decode_head.norm_cfg': dict(type='GN', num_groups=4)}, "'GN'"),
        ({'model.decode_head.norm_cfg': dict(type='BN', eps=0.001)}, "'eps': 0.001"),
        ({'model.decode_head.norm_cfg': None}, 'needs batch norm'),
        ({'model.decode_head.act_cfg': dict(type='GELU')}, 'a layer of the type ReLU'),
        ({'model.decode_head.align_corners': True}, 'align_corners=True'),
        ({'model.decode_head.out_channels': 1}, 'a score for each class'),
        ({'model.decode_head.num_classes': 5}, 'has 5 classes, but 4 names are known'),
        ({'model.decode_head.channels': 32}, 'channels=16 by its weights, but 32 by its config'),
        ({'model.decode_head.pool_scales': (1, 2)}, 'does not fit the whole model'),
        ({'model.decode_head.in_index': [0, 1, 2, 2]}, r'in_index=\[0, 1, 2, 2\]'),
        ({'model.neck': dict(type='FPN')}, 'needs none, found model.neck='),
        ({'model.type': 'CascadeEncoderDecoder'}, 'needs SwinSegmentor or EncoderDecoder'),
        ({'model.data_preprocessor': None}, 'expected model.data_preprocessor='),
        ({'model.data_preprocessor.std': [60.0]}, 'std of three channels'),
        (
            {'test_dataloader.dataset.pipeline.0.color_type': 'grayscale'},
            "loads images with color_type='grayscale'",
        ),
    ],
    ids=str,
)
def test_write_folder__what_transformers_cannot_express(changes, expected, trained, tmp_path):
    source = trained(auxiliary=None)
    hub_folders.rewrite_config(source, changes)
    with pytest.raises(UserError, match=expected) as caught:
        write_folder(source, tmp_path / 'out')
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['best.pth']


def test_write_folder__a_config_beside_the_weights(trained, tmp_path):
    source = trained()
    config = tmp_path / 'config.py'
    content = torch.load(source, weights_only=True)
    config.write_text(content['meta']['cfg'])
    torch.save(content['state_dict'], source)
    with pytest.raises(CheckpointError, match=r'has no config inside.*by --config'):
        write_folder(source, tmp_path / 'out')
    write_folder(source, tmp_path / 'out', config=config)
    assert Predictor.from_checkpoint(tmp_path / 'out').classes == tiny_checkpoint.CLASSES


@pytest.mark.parametrize('target', ['official', 'huggingface', 'huggingface-v5'])
def test_write_folder__weights_of_other_libraries(target, trained, tmp_path):
    source = trained()
    config = tmp_path / 'config.py'
    config.write_text(torch.load(source, weights_only=True)['meta']['cfg'])
    convert(source, tmp_path / 'other.pth', target=target)
    write_folder(tmp_path / 'other.pth', tmp_path / 'out', config=config)
    found = read_folder(tmp_path / 'out')['state_dict']
    wanted = torch.load(source, weights_only=True)['state_dict']
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_write_folder__a_model_of_mmsegmentation(tmp_path):
    cfg = tiny_checkpoint.config(tmp_path / 'data', stock=True)
    cfg.model.decode_head.norm_cfg = dict(type='SyncBN', requires_grad=True)
    cfg.model.backbone.update(
        act_cfg=dict(type='GELU'), norm_cfg=dict(type='LN', requires_grad=True), init_cfg=None
    )
    source = tiny_checkpoint.save(tmp_path / 'stock.pth', cfg)
    write_folder(source, tmp_path / 'out')
    theirs(tmp_path / 'out')
    (image, *_) = tiny_checkpoint.make_images(tmp_path)
    cfg.model.decode_head.norm_cfg = dict(type='BN')
    ours, back = Predictor.from_checkpoint(source, cfg), Predictor.from_checkpoint(tmp_path / 'out')
    np.testing.assert_array_equal(back(image).labels, ours(image).labels)


def test_write_folder__a_dataset_whose_label_0_is_ignored(trained, tmp_path):
    def reduces(source):
        write_folder(source, tmp_path / 'out', overwrite=True)
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'out')
        label = np.array([[0, 1], [4, 4]], np.uint8)
        image = Image.new('RGB', (2, 2))
        found = processor(image, Image.fromarray(label), return_tensors='np')['labels'][0]
        return processor.do_reduce_labels, found.tolist()

    assert reduces(trained()) == (False, [[0, 1], [4, 4]])
    expected = (True, [[255, 0], [3, 3]])
    assert reduces(trained(dataset={'reduce_zero_label': True})) == expected
    source = trained()
    for kind in ('ADE20K', 'ADE20KDataset', 'mmseg.ADE20KDataset'):
        hub_folders.rewrite_config(source, {'test_dataloader.dataset.type': kind})
        assert reduces(source) == expected
    hub_folders.rewrite_config(source, {'test_dataloader.dataset.type': 'CityscapesDataset'})
    assert reduces(source) == (False, [[0, 1], [4, 4]])


def test_write_folder__a_place_that_is_taken(trained, tmp_path):
    source = trained()
    out = tmp_path / 'out'
    out.mkdir()
    write_folder(source, out)  # an empty one is none
    with pytest.raises(OutputError, match=r'is there already; .* --overwrite'):
        write_folder(source, out)
    before = (out / 'config.json').stat().st_ino
    write_folder(source, out, overwrite=True)
    assert (out / 'config.json').stat().st_ino != before
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    (out / 'notes.txt').write_text('mine')
    with pytest.raises(OutputError, match=r'holds other files \(notes\.txt\)'):
        write_folder(source, out, overwrite=True)
    with pytest.raises(OutputError, match='is no folder; name another'):
        write_folder(source, source, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['best.pth', 'out']


@pytest.mark.parametrize('overwrite', [False, True])
def test_write_folder__nothing_half_written(overwrite, trained, tmp_path, monkeypatch):
    source = trained()
    if overwrite:
        write_folder(source, tmp_path / 'out')
        before = {name: (tmp_path / 'out' / name).read_bytes() for name in FILES}

    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('swinseg.hub.folder_writing.save_file', full)
    with pytest.raises(OutputError, match=r'cannot write .*out: No space left'):
        write_folder(source, tmp_path / 'out', overwrite=overwrite)
    left = ['best.pth', 'out'] if overwrite else ['best.pth']
    assert sorted(p.name for p in tmp_path.iterdir()) == left
    if overwrite:
        assert {name: (tmp_path / 'out' / name).read_bytes() for name in FILES} == before


def test_write_folder__interrupted_between_the_old_folder_and_the_new(
    trained, tmp_path, monkeypatch
):
    source = trained()
    write_folder(source, tmp_path / 'out')
    before = (tmp_path / 'out' / 'config.json').stat().st_ino
    replace = os.replace

    def interrupted(old, new):
        if Path(new).name == 'out' and Path(old).name.endswith('.partial'):
            raise KeyboardInterrupt
        replace(old, new)

    monkeypatch.setattr('swinseg.hub.folder_writing.os.replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(source, tmp_path / 'out', overwrite=True)
    assert (tmp_path / 'out' / 'config.json').stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['best.pth', 'out']


def test_tool__writes_a_folder(trained, tmp_path, capsys):
    source = trained()
    out = tmp_path / 'out'
    assert scripts.run('convert_checkpoint', source, out, '--to', 'huggingface') == 0
    printed = capsys.readouterr().out
    assert f'-> {out}: README.md, config.json, model.safetensors' in printed
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    scripts.assert_one_clear_line(
        scripts.run('convert_checkpoint', source, out, '--to', 'huggingface'),
        capsys,
        'is there already',
    )
    scripts.assert_one_clear_line(
        scripts.run('convert_checkpoint', source, tmp_path / 'a.pth', '--license', 'mit'),
        capsys,
        '--license is about a folder',
    )
    assert not (tmp_path / 'a.pth').exists()
