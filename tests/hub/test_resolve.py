"""Names of models of every kind, and the predictors that they give."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from support import tiny_checkpoint
from support.hub_server import Repository
from support.mmseg_pairs import TINY, build_segmentor, randomize
from swinseg import Predictor
from swinseg.checkpoints import checkpoint_meta, formats
from swinseg.config.loading import load_config
from swinseg.config.untrusted import prediction_config
from swinseg.datasets.ade20k import ADE20K
from swinseg.errors import CheckpointError, ConfigError, PredictorError
from swinseg.hub import HubError, catalogue, resolve
from swinseg.hub.catalogue import CATALOGUE
from swinseg.hub.published import completed

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def segmentor():
    """A small model for ADE20K's classes, with an auxiliary head, as the published ones have."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        return randomize(build_segmentor(stock=True, backbone=TINY, channels=16, num_classes=150))


@pytest.fixture
def zoo(hub, segmentor, tmp_path, monkeypatch):
    """A catalogue whose first model is small and on our server; gives its address."""
    path = tmp_path / 'small.pth'
    # As mmsegmentation 0.x saved it: with a config that nobody builds today, and with its own class names.
    meta = {'config': "norm_cfg = dict(type='SyncBN')\nmodel = dict(type='EncoderDecoder')\n"}
    torch.save({'state_dict': segmentor.state_dict(), 'meta': meta}, path)
    data = path.read_bytes()
    digits = hashlib.sha256(data).hexdigest()[:8]
    hub.content.files[f'/small-{digits}.pth'] = data
    small = replace(
        CATALOGUE[0],
        embed_dims=TINY['embed_dims'],
        depths=TINY['depths'],
        window_size=TINY['window_size'],
        address=f'{hub.url}/small-{digits}.pth',
        sha256=digits,
    )
    monkeypatch.setattr(catalogue, 'CATALOGUE', (small, *CATALOGUE[1:]))
    return small.address


def sentence_of(name, error=HubError):
    with pytest.raises(error) as caught:
        Predictor.from_pretrained(name)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('by', ['name', 'address'])
def test_from_pretrained__a_published_model(zoo, hub, segmentor, by):
    name = 'upernet-swin-t-ade20k' if by == 'name' else zoo
    predictor = Predictor.from_pretrained(name)
    assert predictor.classes == tuple(ADE20K.METAINFO['classes'])
    assert np.array_equal(predictor.palette, ADE20K.METAINFO['palette'])
    found = predictor(IMAGE)
    assert found.labels.shape == (70, 90)
    # The same as with the config that the model was trained with, by the weights' own class names.
    cfg = load_config(Path(__file__).parents[2] / 'configs' / 'upernet_swin_t_ade20k.py')
    cfg.model.backbone.update(TINY)
    cfg.model.decode_head.update(in_channels=[16, 32, 64, 128], channels=16)
    del cfg.model['auxiliary_head']
    path = resolve(name).weights
    assert np.array_equal(Predictor.from_checkpoint(path, cfg)(IMAGE).labels, found.labels)
    Predictor.from_pretrained(name)
    assert hub.content.sent[f'/{zoo.rpartition("/")[2]}'] == len(
        hub.content.files[f'/{zoo.rpartition("/")[2]}']
    )


def test_completed__its_config_is_that_of_our_configs(segmentor):
    small = replace(CATALOGUE[0], embed_dims=16, depths=TINY['depths'])
    weights = segmentor.state_dict()
    content = checkpoint_meta(completed({'state_dict': weights}, small))['config']
    built = prediction_config(content, name='it').to_dict()
    cfg = load_config(Path(__file__).parents[2] / 'configs' / 'upernet_swin_t_ade20k.py').to_dict()
    ours = prediction_config(
        {key: cfg[key] for key in ('model', 'test_dataloader', 'tta_pipeline')}, name='ours'
    ).to_dict()
    for pipeline in (ours['test_pipeline'], ours['tta_pipeline']):
        # The variables for bands and deep images are None there, as LoadImage has it anyway.
        pipeline[0] = {name: value for name, value in pipeline[0].items() if value is not None}
    assert built['test_pipeline'] == ours['test_pipeline']
    augmentations = ours['tta_pipeline'][1]['transforms']
    augmentations.remove([])  # the loading of labels
    assert built['tta_pipeline'] == ours['tta_pipeline']
    preprocessor = dict(ours['model']['data_preprocessor'])
    del preprocessor['size']
    assert built['model']['data_preprocessor'] == preprocessor
    assert built['model']['decode_head']['pool_scales'] == [1, 2, 3, 6]
    assert built['model']['test_cfg'] == ours['model']['test_cfg']


@pytest.mark.parametrize('source', ['official', 'huggingface'])
def test_completed__weights_of_other_formats(segmentor, source):
    small = replace(CATALOGUE[0], embed_dims=16, depths=TINY['depths'])
    state_dict = formats.from_mmseg(segmentor.state_dict(), source)
    found = completed({'model': state_dict}, small)
    assert torch.equal(
        found['state_dict']['decode_head.conv_seg.weight'],
        segmentor.state_dict()['decode_head.conv_seg.weight'],
    )
    assert len(found['meta']['classes']) == 150


def test_completed__the_files_own_names_come_first(segmentor):
    small = replace(CATALOGUE[0], embed_dims=16, depths=TINY['depths'])
    names = [f'class {number}' for number in range(150)]
    checkpoint = {'state_dict': segmentor.state_dict(), 'meta': {'CLASSES': names}}
    meta = checkpoint_meta(completed(checkpoint, small))
    assert meta['classes'] == tuple(names)
    assert meta['palette'] == ADE20K.METAINFO['palette']


def test_from_pretrained__another_file_than_published(zoo, hub):
    hub.content.files[f'/{zoo.rpartition("/")[2]}'] = b'something else'
    message = sentence_of('upernet-swin-t-ade20k', CheckpointError)
    assert f'cannot download {zoo}: its SHA-256 is' in message


def test_completed__another_architecture(segmentor):
    with pytest.raises(
        HubError,
        match=r'expected Swin-T with a window of 7 .*, found a Swin Transformer: embed_dims 16',
    ):
        completed({'state_dict': segmentor.state_dict()}, CATALOGUE[0])
    backbone = {key: v for key, v in segmentor.state_dict().items() if key.startswith('backbone.')}
    small = replace(CATALOGUE[0], embed_dims=16, depths=TINY['depths'])
    with pytest.raises(HubError, match='expected a UPerNet head'):
        completed({'state_dict': backbone}, small)


def test_from_pretrained__a_repository_a_folder_and_a_checkpoint_agree(hub, model_files, tmp_path):
    hub.content.repositories['me/tiny'] = Repository(dict(model_files))
    folder = tmp_path / 'folder'
    folder.mkdir()
    for name, data in model_files.items():
        (folder / name).write_bytes(data)
    expected = Predictor.from_checkpoint(folder)(IMAGE, confidence=True)
    for name in ('hf:me/tiny', str(folder), folder):
        predictor = Predictor.from_pretrained(name)
        assert predictor.classes == tiny_checkpoint.CLASSES
        found = predictor(IMAGE, confidence=True)
        assert np.array_equal(found.labels, expected.labels)
        assert np.array_equal(found.confidence, expected.confidence)


def test_from_pretrained__a_checkpoint_and_its_folder_and_address(hub, tmp_path):
    (tmp_path / 'run').mkdir()
    path = tiny_checkpoint.save(tmp_path / 'run' / 'iter_2.pth', tiny_checkpoint.config(tmp_path))
    hub.content.files['/model.pth'] = path.read_bytes()
    expected = Predictor.from_checkpoint(path)(IMAGE).labels
    for name in (path, path.parent, f'{hub.url}/model.pth'):
        assert np.array_equal(Predictor.from_pretrained(name)(IMAGE).labels, expected)
    shutil.copy(path, path.with_name('iter_4.pth'))
    assert 'has no config.json and 2 checkpoints; name one of them: iter_2.pth, iter_4.pth' in (
        sentence_of(path.parent)
    )
    shutil.copy(path, path.with_name('best_mIoU_iter_4.pth'))
    assert resolve(path.parent).weights.endswith('best_mIoU_iter_4.pth')


def test_resolve__two_addresses_with_one_base_name(hub, segmentor, tmp_path):
    for number in (1, 2):
        path = tiny_checkpoint.save(tmp_path / f'{number}.pth', tiny_checkpoint.config(tmp_path))
        content = torch.load(path, weights_only=True)
        content['state_dict']['decode_head.conv_seg.bias'] += number
        torch.save(content, path)
        hub.content.files[f'/{number}/model.pth'] = path.read_bytes()
    first, second = (
        resolve(f'{hub.url}/{number}/model.pth').read()['state_dict']['decode_head.conv_seg.bias']
        for number in (1, 2)
    )
    assert torch.equal(second - first, torch.ones(4))


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('upernet-swin-x-ade20k', 'did you mean upernet-swin-t-ade20k or upernet-swin-s-ade20k'),
        ('upernet-swin-b-22k-w12', 'did you mean upernet-swin-b-22k-w12-ade20k or '),
        ('UPERNET-SWIN-S-ADE20K', 'did you mean upernet-swin-s-ade20k or '),
        ('resnet', r'no published model; did you mean .* \(see all with: swinseg models\)'),
        ('me/model', 'no such file or folder; check the path, or write hf:me/model'),
        ('./upernet-swin-t-ade20k', 'no such file or folder; check the path$'),
        ('hf:tiny', 'expected hf:owner/name or hf:owner/name@revision, found hf:tiny'),
    ],
)
def test_resolve__no_such_model(name, expected):
    with pytest.raises(HubError, match=expected) as caught:
        resolve(name)
    assert '\n' not in str(caught.value)


def test_resolve__no_such_checkpoint(tmp_path):
    assert 'no weight file' in sentence_of(tmp_path / 'nothing.pth', CheckpointError)


def test_resolve__a_folder_with_nothing(tmp_path):
    assert 'expected config.json and model.safetensors, or a checkpoint, in the folder' in (
        sentence_of(tmp_path)
    )


def test_from_pretrained__a_folder_of_another_architecture(tmp_path):
    (tmp_path / 'config.json').write_text('{"model_type": "segformer"}')
    (tmp_path / 'model.safetensors').write_bytes(b'')
    assert "of the type 'segformer'; expected 'upernet'" in sentence_of(tmp_path, CheckpointError)


def test_from_pretrained__weights_without_a_config(segmentor, tmp_path):
    torch.save(segmentor.state_dict(), tmp_path / 'bare.pth')
    assert 'has no config inside' in sentence_of(tmp_path / 'bare.pth', PredictorError)


def test_from_pretrained__trusts_nobody(hub, tmp_path):
    path = tiny_checkpoint.save(tmp_path / 'evil.pth', tiny_checkpoint.config(tmp_path))
    content = torch.load(path, weights_only=True)
    content['meta']['cfg'] += "\nevil = dict(type='subprocess.getoutput', cmd='id')\n"
    torch.save(content, path)
    hub.content.files['/evil.pth'] = path.read_bytes()
    assert 'is an import path' in sentence_of(f'{hub.url}/evil.pth', ConfigError)
    with pytest.raises(TypeError):
        Predictor.from_pretrained(f'{hub.url}/evil.pth', trust=True)
