"""Stochastic depth against mmcv's."""

import pytest
import torch
from mmcv.cnn.bricks import DropPath as StockDropPath

from swinseg.models.swin.drop_path import DropPath


@pytest.mark.parametrize('shape', [(64, 5), (64, 3, 2, 4)], ids=str)
def test_forward__draws_as_mmcv(shape):
    x = torch.randn(shape)
    torch.manual_seed(1)
    expected = StockDropPath(0.3).train()(x)
    torch.manual_seed(1)
    found = DropPath(0.3).train()(x)
    torch.testing.assert_close(found, expected)
    dropped = (found == 0).flatten(1).all(1).sum()
    assert 0 < dropped < 64


def test_forward__is_the_identity_in_evaluation_and_at_rate_0():
    x = torch.randn(4, 2)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
