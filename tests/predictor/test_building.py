"""Models from checkpoints and configs, and what is said where they do not fit."""

import warnings

import numpy as np
import pytest
import torch

from support import tiny_checkpoint
from swinseg.config.loading import ConfigError
from swinseg.errors import CheckpointError
from swinseg.predictor import Predictor, PredictorError, building


def test_from_checkpoint__keeps_the_callers_config(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    before = cfg.pretty_text
    predictor = Predictor.from_checkpoint(checkpoint, cfg)
    predictor(np.zeros((40, 40, 3), np.uint8), tta=True)
    assert cfg.pretty_text == before


def test_from_checkpoint__weights_without_meta_take_all_from_the_config(data, images, tmp_path):
    cfg = tiny_checkpoint.config(data / 'not here')  # the data of the training need not be there
    bare = tiny_checkpoint.save(tmp_path / 'bare.pth', cfg, with_config=False, with_classes=False)
    cfg.dump(tmp_path / 'config.py')
    predictor = Predictor.from_checkpoint(bare, tmp_path / 'config.py', device='cpu')
    assert predictor.classes == tiny_checkpoint.CLASSES
    assert predictor.palette.tolist() == tiny_checkpoint.PALETTE
    assert predictor(images[0]).labels.shape == (50, 70)
    with pytest.raises(PredictorError, match=r'bare\.pth has no config inside; give the config'):
        Predictor.from_checkpoint(bare)


def test_from_checkpoint__does_not_look_for_pretrained_weights(data, tmp_path):
    cfg = tiny_checkpoint.config(data)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='/nowhere/swin.pth')
    cfg.model.pretrained = None
    checkpoint = tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg)
    Predictor.from_checkpoint(checkpoint)


def test_from_checkpoint__names_nowhere(data, tmp_path):
    cfg = tiny_checkpoint.config(data)
    cfg.pop('test_dataloader')
    cfg.test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    checkpoint = tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg, with_classes=False)
    with pytest.raises(PredictorError, match=r'neither .*tiny\.pth nor its config names the class'):
        Predictor.from_checkpoint(checkpoint)


def test_from_checkpoint__names_that_do_not_match(data, tmp_path):
    cfg = tiny_checkpoint.config(data)
    path = tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg)
    content = torch.load(path, weights_only=True)
    content['meta']['dataset_meta']['classes'] = ('a', 'b')
    torch.save(content, path)
    with pytest.raises(PredictorError, match='the model predicts 4 classes, but 2 class names'):
        Predictor.from_checkpoint(path)


def test_from_checkpoint__a_config_for_another_architecture(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    cfg.model.backbone.depths = (2, 2, 6, 2)
    with pytest.raises(CheckpointError, match=r'tiny\.pth'):
        Predictor.from_checkpoint(checkpoint, cfg)


def test_from_checkpoint__a_config_that_would_not_normalize(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    del cfg.model['data_preprocessor']
    with pytest.raises(PredictorError, match='no data_preprocessor, so images would not be norm'):
        Predictor.from_checkpoint(checkpoint, cfg)


def test_from_checkpoint__a_config_without_a_pipeline(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(PredictorError, match='has no test pipeline that begins with loading'):
        Predictor.from_checkpoint(checkpoint, cfg)


def test_from_checkpoint__a_misspelled_key_inside_the_checkpoint(data, tmp_path):
    path = tiny_checkpoint.save(tmp_path / 'tiny.pth', tiny_checkpoint.config(data))
    content = torch.load(path, weights_only=True)
    content['meta']['cfg'] = content['meta']['cfg'].replace('window_size', 'window_sise')
    torch.save(content, path)
    with pytest.raises(ConfigError, match=r'window_sise in the config inside .*tiny\.pth'):
        Predictor.from_checkpoint(path)


def test_from_checkpoint__files_that_are_missing_or_cut(tmp_path, checkpoint):
    with pytest.raises(CheckpointError, match=r'missing\.pth'):
        Predictor.from_checkpoint(tmp_path / 'missing.pth')
    (tmp_path / 'cut.pth').write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r'cut\.pth'):
        Predictor.from_checkpoint(tmp_path / 'cut.pth')


@pytest.mark.parametrize('device', ['nonsense', 'cuda:77'])
def test_from_checkpoint__a_device_that_is_not_there(checkpoint, device):
    with pytest.raises(PredictorError, match=f"device '{device}' cannot be used") as caught:
        Predictor.from_checkpoint(checkpoint, device=device)
    assert '\n' not in str(caught.value)


def test_from_checkpoint__a_tta_pipeline_that_only_loads(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    cfg.tta_pipeline = [dict(type='LoadImage')]
    with pytest.raises(PredictorError, match='tta_pipeline does nothing after loading an image'):
        Predictor.from_checkpoint(checkpoint, cfg)


def test_from_checkpoint__mmsegs_backbone_in_bfloat16_is_built_as_ours(data, images, tmp_path):
    path = tiny_checkpoint.save(tmp_path / 'stock.pth', tiny_checkpoint.config(data, stock=True))
    plain = Predictor.from_checkpoint(path, device='cpu')
    half = Predictor.from_checkpoint(path, device='cpu', dtype='bfloat16')
    names = [type(predictor.model.backbone).__name__ for predictor in (plain, half)]
    assert names == ['SwinTransformer', 'SwinBackbone']
    expected, found = (predictor(images[0]).labels for predictor in (plain, half))
    assert (found == expected).mean() > 0.9


@pytest.mark.parametrize('has', [False, True])
def test_choose_dtype__says_that_bfloat16_is_emulated(monkeypatch, has):
    monkeypatch.setattr(building, 'computes_bfloat16', lambda device: has)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        assert building.choose_dtype('bfloat16', torch.device('cpu')) == torch.bfloat16
        assert building.choose_dtype('float32', torch.device('cpu')) == torch.float32
    told = [str(each.message) for each in caught]
    assert told == [] if has else 'no instructions for bfloat16' in told[0]
