"""Each adaptation does its work, is safe, and is left out where it is not needed."""

import importlib.util
import pickle
import subprocess
import sys
import types

import cv2
import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import Resize
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.utils import get_installed_path, is_installed

from swinseg import compat


def test_apply__is_done_once():
    before = compat.active()
    compat.apply()
    assert compat.active() == before


@pytest.mark.parametrize('shape', [(2, 8000), (8000, 2), (1, 1), (60, 80)])
def test_resize__keeps_one_pixel_a_side_and_is_mmcvs_otherwise(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    label = image[..., 0].copy()
    results = dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'], img_shape=shape)
    resized = Resize(scale=(512, 128), keep_ratio=True).transform(dict(results))
    factor = min(512 / max(shape), 128 / min(shape))
    expected = tuple(max(1, int(side * factor + 0.5)) for side in shape)
    assert resized['img'].shape == (*expected, 3)
    assert resized['gt_seg_map'].shape == resized['img_shape'] == expected
    size = expected[::-1]
    np.testing.assert_array_equal(resized['img'], cv2.resize(image, size))
    assert mmcv.rescale_size((7, 9), 0.01) == (1, 1)


@pytest.mark.slow
def test_apply__mmseg_imports_in_a_fresh_process():
    code = 'import swinseg, mmseg.apis, mmseg.models, mmseg.datasets; print("fine")'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    # A fork of mmseg prints of its own.
    assert result.stdout.splitlines()[-1] == 'fine'
    assert 'MultiScaleDeformableAttention' not in result.stderr


def test_apply__leaves_the_compiled_ops_alone(monkeypatch):
    monkeypatch.setattr(compat, 'has_compiled_ops', lambda: True)
    needed = [item.name for item in compat.ADAPTATIONS if item.needed()]
    assert 'mmcv.ops in pure PyTorch' not in needed


@pytest.mark.skipif(compat.has_compiled_ops(), reason='the full mmcv is installed')
def test_pure_ops__what_is_absent_says_so():
    import mmcv.ops

    with pytest.raises(
        ModuleNotFoundError, match=r'mmcv\.ops\.CrissCrossAttention needs the full mmcv'
    ):
        from mmcv.ops import CrissCrossAttention  # noqa: F401
    assert not hasattr(mmcv.ops, '__path__')


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_sigmoid_focal_loss__equals_mmsegs_python_form(reduction):
    from mmseg.models.losses.focal_loss import py_sigmoid_focal_loss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (50,), generator=generator)
    one_hot = F.one_hot(target, 4)
    # mmseg averages over all entries, the compiled op over the rows.
    expected = py_sigmoid_focal_loss(
        logits, one_hot, one_hot, gamma=2.0, alpha=0.25, reduction='none', avg_factor=None
    )
    found = compat.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, reduction)
    expected = {'none': expected, 'sum': expected.sum(), 'mean': expected.sum() / 50}[reduction]
    torch.testing.assert_close(found, expected)


def test_sigmoid_focal_loss__weights_rows_by_their_class():
    logits = torch.zeros(2, 3)
    loss = compat.sigmoid_focal_loss(
        logits, torch.tensor([0, 2]), weight=torch.tensor([5.0, 1.0, 2.0]), reduction='none'
    )
    plain = compat.sigmoid_focal_loss(logits, torch.tensor([0, 2]), reduction='none')
    torch.testing.assert_close(loss, plain * torch.tensor([[5.0], [2.0]]))


def test_point_sample__pixel_centers_give_the_pixels():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    y, x = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(4) + 0.5) / 4, indexing='ij')
    points = torch.stack([x, y], dim=-1).view(1, 12, 2)
    torch.testing.assert_close(compat.point_sample(features, points)[0, 0], torch.arange(12.0))


def test_installed_path__by_distribution_and_by_module():
    assert get_installed_path('mmseg') == get_installed_path('mmsegmentation')
    assert get_installed_path('mmseg').endswith('mmseg')
    assert is_installed('mmsegmentation')
    assert not is_installed('a-package-that-nobody-has')


def test_safe_classes__a_runner_checkpoint_loads(tmp_path):
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    message_hub = {'loss': buffer, 'scalar': np.float64(0.5), 'array': np.arange(3)}
    torch.save({'message_hub': message_hub}, tmp_path / 'runner.pth')
    loaded = torch.load(tmp_path / 'runner.pth', weights_only=True)['message_hub']
    assert loaded['loss'].mean() == 2.0
    assert loaded['scalar'] == 0.5
    assert loaded['array'].tolist() == [0, 1, 2]


class _LooksUp:
    """Pickles as ``getattr(HistoryBuffer, name)``, the one look-up that mmengine's files contain."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return getattr, (HistoryBuffer, self.name)


def test_safe_classes__getattr_reaches_the_four_statistics_only(tmp_path):
    torch.save([_LooksUp('mean')], tmp_path / 'good.pth')
    assert torch.load(tmp_path / 'good.pth', weights_only=True) == [HistoryBuffer.mean]
    torch.save([_LooksUp('__init__')], tmp_path / 'bad.pth')
    with pytest.raises(pickle.UnpicklingError, match='may not look up'):
        torch.load(tmp_path / 'bad.pth', weights_only=True)


def test_find_loader__is_restored_where_python_dropped_it(monkeypatch):
    import pkgutil

    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    compat._restore_find_loader()
    assert pkgutil.find_loader('json') is not None
    assert pkgutil.find_loader('a_package_that_nobody_has') is None
    assert importlib.util.find_spec('json') is not None


CONFIGS = [
    {
        'model': {
            'depths': [2, 2, 18, 2],
            'path': 'folder/' * 20,
            'scales': (512, 1.0),
            'neck': None,
        }
    },
    {
        'rates': (1e-30, -0.5),
        'one': ('a' * 120,),
        'empty': [[], (), {}],
        'words': 'a "b"\n\'c\'\té\\',
    },
    {'ious': {3: 'a' * 60, (1, 2): 'b' * 60, 'not a name': {'c': 'd' * 60, 'e-f': [1, 'g' * 90]}}},
    {
        'steps': [dict(type='Resize', scale=(512, 128), pipelines=[[dict(type='A' * 50)] * 2] * 2)]
        * 3
    },
]


@pytest.mark.parametrize('values', CONFIGS, ids=lambda values: next(iter(values)))
def test_config_text__says_the_same_values(values):
    text = Config(values).pretty_text
    found: dict = {}
    exec(text, found)
    assert {key: found[key] for key in values} == values


def test_config_text__breaks_what_is_long_and_nothing_else():
    cfg = Config({'depths': [2, 2, 6, 2], 'model': {'name': 'a' * 60, 'other': {'b': 'c' * 60}}})
    a, c = 'a' * 60, 'c' * 60
    assert cfg.pretty_text == (
        f"depths = [2, 2, 6, 2]\nmodel = dict(\n    name='{a}',\n    other=dict(b='{c}'),\n)\n"
    )


def test_safe_checkpoint_classes__are_found_where_numpy_has_another_layout(monkeypatch):
    # NumPy 1.26 has a package numpy._core without the module multiarray, numpy 2 no numpy.core to speak of.
    expected = compat.safe_checkpoint_classes()
    monkeypatch.setattr(np, '_core', types.ModuleType('numpy._core'))
    assert compat.safe_checkpoint_classes() == expected
