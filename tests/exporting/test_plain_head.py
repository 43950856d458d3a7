"""The matrices that the head is made of."""

import pytest
import torch
from torch import nn

from swinseg.exporting.plain_head import pooling_matrix, shifted_interpolation
from swinseg.models.ops import upsampled_conv


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('length', 'target'), [(1, 7), (2, 2), (3, 20), (6, 2), (5, 1), (33, 128)])
def test_shifted_interpolation__is_that_of_the_model(length, target, align_corners):
    found = shifted_interpolation(length, target, align_corners=align_corners, like=torch.zeros(1))
    expected = upsampled_conv.shifted_interpolation(length, target, align_corners=align_corners)
    expected = expected.permute(1, 2, 0).reshape(target, -1)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize('length', [1, 2, 5, 16, 17])
@pytest.mark.parametrize('count', [1, 2, 3, 6])
def test_pooling_matrix__averages_as_adaptive_pooling(count, length):
    x = torch.randn(2, 3, length, length + 4, generator=torch.Generator().manual_seed(0))
    rows, columns = (pooling_matrix(count, side, x) for side in x.shape[2:])
    expected = nn.AdaptiveAvgPool2d(count)(x)
    assert torch.allclose(rows @ x @ columns.T, expected, atol=1e-6)
