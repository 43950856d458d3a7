"""Windows that were not asked for, and what a model makes of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from support import tiny_checkpoint
from swinseg.inference import SlideError
from swinseg.segment.scenes.windows import (
    Windows,
    WindowScores,
    Workload,
    choose_windows,
    choose_workload,
)

CPU, GPU = torch.device('cpu'), torch.device('cuda')
SLIDING = dict(mode='slide', crop_size=(640, 512), stride=(426, 300))


@pytest.mark.parametrize(
    ('test_cfg', 'asked', 'expected'),
    [
        (dict(mode='whole'), {}, Windows((512, 512), (384, 384), 'gaussian')),
        (None, {}, Windows((512, 512), (384, 384), 'gaussian')),
        (SLIDING, {}, Windows((640, 512), (426, 300), 'gaussian')),
        (dict(SLIDING, blend='hann'), {}, Windows((640, 512), (426, 300), 'hann')),
        (SLIDING, dict(blend='uniform'), Windows((640, 512), (426, 300), 'uniform')),
        (SLIDING, dict(window=256), Windows((256, 256), (192, 192), 'gaussian')),
        (SLIDING, dict(stride=100), Windows((640, 512), (100, 100), 'gaussian')),
        (SLIDING, dict(window=(256, 128), stride=(1, 128)), Windows((256, 128), (1, 128), 'gaussian')),
        (dict(mode='whole'), dict(window=1), Windows((1, 1), (1, 1), 'gaussian')),
    ],
)  # fmt: skip
def test_choose_windows__table(test_cfg, asked, expected):
    assert choose_windows(SimpleNamespace(test_cfg=test_cfg), **asked) == expected


@pytest.mark.parametrize('asked', [dict(window=64, stride=65), dict(stride=513), dict(blend='no')])
def test_choose_windows__refuses(asked):
    with pytest.raises(SlideError):
        choose_windows(SimpleNamespace(test_cfg=dict(mode='whole')), **asked)


def of_four_classes(pixels):
    return torch.zeros(len(pixels), 4, *pixels.shape[2:])


@pytest.mark.parametrize(
    ('size', 'shape', 'device', 'asked', 'expected'),
    [
        (512, (4000, 4000), CPU, None, 1),
        (1024, (4000, 4000), CPU, None, 1),
        (128, (4000, 4000), CPU, None, 16),
        (512, (128, 128), CPU, None, 16),
        (512, (4000, 4000), GPU, None, 8),
        (512, (4000, 4000), CPU, 3, 3),
    ],
)
def test_choose_workload__without_a_limit(size, shape, device, asked, expected):
    windows = Windows((size, size), (size // 2, size // 2), 'uniform')
    work = choose_workload(
        of_four_classes, windows, shape, bands=3, device=device, batch_size=asked
    )
    assert (work.batch_size, work.score_dtype) == (expected, torch.float32)


def test_choose_workload__within_a_limit():
    windows = Windows((64, 64), (32, 32), 'uniform')

    def choose(mebibytes):
        return choose_workload(
            of_four_classes, windows, (5000, 500_000), bands=3, device=CPU, max_memory=mebibytes * 2**20
        )  # fmt: skip

    # 32 rows x 500,000 columns x 4 classes are kept: 244 MiB in single precision, 122 in half.
    assert choose(4000) == Workload(64, torch.float32)
    assert choose(610).score_dtype == torch.float16
    with pytest.raises(SlideError, match='allow more'):
        choose(120)


@pytest.mark.parametrize('padding', [None, dict(size_divisor=32)], ids=['plain', 'padded'])
def test_window_scores__are_those_of_the_model_on_bgr(padding):
    cfg = tiny_checkpoint.config('unused')
    cfg.model.data_preprocessor.test_cfg = padding
    cfg.model.data_preprocessor.mean = [0.0, 100, 200]
    model = tiny_checkpoint.build(cfg).eval()
    rgb = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50))).float()
    with torch.no_grad():
        found = WindowScores(model)(rgb)
        normal = model.data_preprocessor
        pixels = (rgb - normal.mean) / normal.std
        if padding is not None:
            pixels = torch.nn.functional.pad(pixels, (0, 14, 0, 24))
        size = pixels.shape[2:]
        expected = model.encode_decode(pixels, [dict(img_shape=size)] * 2)[..., :40, :50]
    torch.testing.assert_close(found, expected)
