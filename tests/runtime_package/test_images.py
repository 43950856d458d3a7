import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from swinseg_runtime.images import resize_pixels, resize_scores, resized_size


@pytest.mark.parametrize(
    ('size', 'target'),
    [((50, 70), (64, 90)), ((97, 61), (64, 40)), ((7, 9), (70, 31)), ((300, 200), (150, 100)), ((1, 5), (3, 1))],
)  # fmt: skip
def test_resize_pixels__has_the_bits_of_opencv(size, target):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.array_equal(resize_pixels(pixels, *target), cv2.resize(pixels, target[::-1]))


@pytest.mark.parametrize(
    ('size', 'target'), [((5, 7), (9, 4)), ((8, 8), (3, 20)), ((1, 2), (4, 4))]
)
def test_resize_scores(size, target):
    scores = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    expected = F.interpolate(torch.from_numpy(scores)[None], target, mode='bilinear')[0]
    assert np.allclose(resize_scores(scores, *target), expected.numpy(), atol=1e-6)


def test_resized_size__is_that_of_mmcv():
    from mmcv.transforms import Resize

    for size in ((50, 70), (97, 61), (10, 900)):
        for keep_ratio in (True, False):
            step = Resize(scale=(256, 64), keep_ratio=keep_ratio)
            expected = step({'img': np.zeros((*size, 3), np.uint8)})['img'].shape[1::-1]
            assert resized_size(size, scale=[256, 64], keep_ratio=keep_ratio) == expected
