from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from support import hub_folders, scripts, tiny_checkpoint
from support.mmseg_pairs import VARIANTS, build_segmentor, randomize
from swinseg import Predictor
from swinseg.checkpoints.convert import convert
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.errors import CheckpointError, UserError
from swinseg.files import OutputError
from swinseg.hub.folder import FILES, read_folder, write_folder

transformers = pytest.importorskip('transformers')

DATA = os.environ.get('SWINSEG_TEST_DATA')
FULL = os.environ.get('SWINSEG_TEST_FULL')
TOLERANCE = 1e-4
IS_5 = int(transformers.__version__.split('.')[0]) >= 5
PILLOW = dict(type='Resize', scale=(160, 128), keep_ratio=False, backend='pillow')


@pytest.fixture
def trained(tmp_path):
    """Save a checkpoint by a config; the returned path is ``best.pth``."""

    def save(**options) -> Path:
        more = options.pop('more', {})
        return hub_folders.save(
            tmp_path / 'best.pth', hub_folders.config(tmp_path / 'data', **options), **more
        )

    return save


def theirs(folder):
    """Load transformers' model of a folder, and check that every key has its place."""
    model, info = transformers.UperNetForSemanticSegmentation.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def load_processor(folder, backend):
    """Load an image processor that resizes by Pillow (``'pil'``) or by torchvision."""
    options = {'backend': backend} if IS_5 else {'use_fast': backend == 'torchvision'}
    return transformers.AutoImageProcessor.from_pretrained(folder, **options)


def by_transformers(model, processor, image):
    """Return labels, and where they are no tie: the best score is above the second by more than rounding."""
    size = image.size[::-1]
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors='pt'))
    (labels,) = processor.post_process_semantic_segmentation(outputs, [size])
    (scores,) = torch.nn.functional.interpolate(outputs.logits, size, mode='bilinear')
    best, second = scores.topk(2, dim=0).values
    return labels.numpy(), (best - second > 1e-4).numpy()


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


@pytest.mark.slow
@pytest.mark.parametrize(
    'letter',
    ['T', *(pytest.param(x, marks=pytest.mark.skipif(not FULL, reason='large')) for x in 'SBL')],
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


def upernet(tmp_path, *, processor=True, backbone=None, **fields):
    """Save a random model by transformers alone."""
    torch.manual_seed(0)
    settings = dict(
        embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=5,
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
    )  # fmt: skip
    config = transformers.UperNetConfig(
        backbone_config=transformers.SwinConfig(**{**settings, **(backbone or {})}),
        **{
            'hidden_size': 16, 'auxiliary_channels': 8, 'auxiliary_in_channels': 64,
            'id2label': {0: 'sky', 1: 'road', 2: 'car'}, 'label2id': {'sky': 0, 'road': 1, 'car': 2},
            **fields,
        },
    )  # fmt: skip
    model = transformers.UperNetForSemanticSegmentation(config).eval()
    for name, value in model.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.dim() == 1:
            value.add_(0.2 * torch.randn(value.shape))
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape) / value[0].numel() ** 0.5)
    # Scores whose means are equal, so that no class wins everywhere.
    with torch.no_grad():
        scores = model(torch.randn(1, 3, 96, 128)).logits
        model.decode_head.classifier.bias.sub_(scores.mean(dim=(0, 2, 3)))
    model.save_pretrained(tmp_path / 'theirs')
    if processor:
        transformers.SegformerImageProcessor(size={'height': 64, 'width': 96}).save_pretrained(
            tmp_path / 'theirs'
        )
    return model, tmp_path / 'theirs'


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

    monkeypatch.setattr('swinseg.hub.folder.save_file', full)
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

    monkeypatch.setattr('swinseg.hub.folder.os.replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(source, tmp_path / 'out', overwrite=True)
    assert (tmp_path / 'out' / 'config.json').stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['best.pth', 'out']


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
