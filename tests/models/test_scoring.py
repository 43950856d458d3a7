"""Averages over scales and flips against mmseg's, and what is in memory meanwhile."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS, TRANSFORMS
from torch.utils._python_dispatch import TorchDispatchMode

from support import tiny_checkpoint
from swinseg.predictor import Predictor

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
FLIPS = [
    dict(type='RandomFlip', prob=0.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='vertical'),
]


def tta_pipeline(*scales, more=()):
    resizes = [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in scales]
    steps = [resizes, list(FLIPS), *([step] for step in more), [dict(type='PackSegInputs')]]
    return [dict(type='LoadImage'), dict(type='TestTimeAug', transforms=steps)]


def built(pipeline, *, stock=False, **test_cfg):
    cfg = tiny_checkpoint.config(Path(), stock=stock, **test_cfg)
    return Predictor(
        tiny_checkpoint.build(cfg).eval(),
        cfg.test_dataloader.dataset.pipeline,
        classes=tiny_checkpoint.CLASSES,
        tta_pipeline=pipeline,
    )


@pytest.fixture
def image():
    coarse = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((9, 10, 1), np.uint8))[:50, :71]


@pytest.mark.parametrize('batch_size', [1, 3])
@pytest.mark.parametrize(
    'test_cfg',
    [{'mode': 'whole'}, {'mode': 'slide', 'crop_size': (48, 48), 'stride': (31, 31)}],
    ids=['whole', 'slide'],
)
def test_mean_probabilities__labels_are_those_of_mmseg(image, tmp_path, test_cfg, batch_size):
    pipeline = tta_pipeline(*SCALES)
    predictor = built(pipeline, **test_cfg)
    found = predictor(image, tta=True, batch_size=batch_size)

    cfg = tiny_checkpoint.config(Path(), stock=True, **test_cfg)
    path = tmp_path / 'image.npy'
    np.save(path, image[..., ::-1])
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(type='SegTTAModel', module=tiny_checkpoint.build(cfg)))
        augment = TRANSFORMS.build(tta_pipeline(*SCALES)[1])
    packed = augment(
        {
            'img': image[..., ::-1].copy(),
            'img_path': str(path),
            'img_shape': image.shape[:2],
            'ori_shape': image.shape[:2],
        }
    )
    batch = {key: [[each] for each in packed[key]] for key in ('inputs', 'data_samples')}
    (expected,) = model.eval().test_step(batch)
    expected = expected.pred_sem_seg.data.squeeze().numpy()
    assert len(np.unique(expected)) > 1
    assert (found.labels == expected).mean() > 0.9995


@TRANSFORMS.register_module()
class NoteView(BaseTransform):
    """Takes note of a view that is made."""

    events: list = []  # noqa: RUF012

    def transform(self, results):
        self.events.append('view')
        return results


def test_mean_probabilities__views_are_made_one_at_a_time(image):
    predictor = built(tta_pipeline(0.5, 0.75, more=[dict(type='NoteView')]))
    NoteView.events.clear()
    predictor.model.backbone.register_forward_pre_hook(lambda *_: NoteView.events.append('model'))
    predictor(image, tta=True)
    assert NoteView.events == ['view', 'model'] * 6


class LargeTensors(TorchDispatchMode):
    """Collects the storages of float tensors with at least so many elements."""

    def __init__(self, elements):
        super().__init__()
        self.elements = elements
        self.found = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.is_floating_point():
            storage = out.untyped_storage()
            if storage.nbytes() >= 4 * self.elements:
                # Kept, so that no other gets its address.
                self.found[storage.data_ptr()] = out
        return out


def test_mean_probabilities__there_is_one_full_size_sum():
    size = (320, 480)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    predictor = built(tta_pipeline(0.25, 0.5))
    with LargeTensors(4 * size[0] * size[1]) as large:
        predictor(image, tta=True, confidence=True)
    assert len(large.found) == 1
