"""The 3x3 convolution in matrix products, and the resizing, beside PyTorch's and in ONNX Runtime."""

import pytest
import torch
import torch.nn.functional as F

from swinseg.exporting import plain_conv
from swinseg.exporting.channels_last_resize import resize
from swinseg.exporting.sizes import fixed_sizes


@pytest.mark.parametrize('size', [(2, 9, 14), (1, 16, 8), (3, 1, 1), (1, 3, 5)])
@pytest.mark.parametrize('is_fixed', [False, True])
def test_conv3x3__is_the_convolution(size, is_fixed):
    images, height, width = size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((images, 64, height, width), generator=generator)
    weight = torch.randn((72, 64, 3, 3), generator=generator) / 24
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    if is_fixed:
        with fixed_sizes():
            found = plain_conv.conv3x3(x.permute(0, 2, 3, 1), weight)
    else:
        found = plain_conv.conv3x3(x.permute(0, 2, 3, 1), weight)
    assert (found.permute(0, 3, 1, 2) - expected).abs().max() < 2e-5


def test_pays__only_in_float32_and_with_many_channels():
    assert plain_conv.pays(torch.zeros(64, 64, 3, 3))
    assert not plain_conv.pays(torch.zeros(64, 63, 3, 3))
    assert not plain_conv.pays(torch.zeros(64, 64, 3, 3, dtype=torch.bfloat16))


class _Both(torch.nn.Module):
    def __init__(self, *, align_corners):
        super().__init__()
        self.align_corners = align_corners
        self.register_buffer('weight', torch.linspace(-0.1, 0.1, 64 * 64 * 9).view(64, 64, 3, 3))

    def forward(self, x_BHWC, like_BHWC):
        x = plain_conv.conv3x3(x_BHWC, self.weight)
        return resize(x, like_BHWC.shape[1:3], align_corners=self.align_corners)


@pytest.mark.parametrize('align_corners', [False, True])
def test_in_onnx_runtime__at_another_size_than_the_traced(tmp_path, align_corners):
    pytest.importorskip('onnx')
    onnxruntime = pytest.importorskip('onnxruntime')
    module, path = _Both(align_corners=align_corners).eval(), tmp_path / 'both.onnx'
    traced = torch.zeros(1, 6, 7, 64), torch.zeros(1, 9, 9, 1)
    names = ['x', 'like']
    axes = {name: {0: 'b', 1: f'h{name}', 2: f'w{name}'} for name in names}
    torch.onnx.export(
        module, traced, path, dynamo=False, input_names=names, dynamic_axes=axes, opset_version=17
    )
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    x = torch.randn((2, 10, 5, 64), generator=torch.Generator().manual_seed(0))
    for target in ((23, 11), (4, 1), (10, 5)):
        like = torch.zeros(2, *target, 1)
        expected = module(x, like)
        (found,) = session.run(None, {'x': x.numpy(), 'like': like.numpy()})
        assert found.shape == (2, *target, 64)
        assert (torch.from_numpy(found) - expected).abs().max() < 1e-4
