"""No float64 on a device that has none: MPS refuses to allocate it, and the meta device stands in for it here."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from support.mmseg_pairs import TINY, build_segmentor
from swinseg import prepare_for_inference
from swinseg.precision import set_tf32, widest_float


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


class NoFloat64(TorchDispatchMode):
    """Refuse, as MPS does, every float64 tensor that is not on the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != 'cpu':
                assert tensor.dtype != torch.float64, func
        return out


def build_on_meta():
    return build_segmentor(stock=False, backbone=TINY, channels=64, num_classes=7).to('meta')


def test_no_float64__refuses_one():
    with NoFloat64(), pytest.raises(AssertionError, match=r'zeros|empty'):
        torch.zeros((), dtype=torch.float64, device='meta')


@pytest.mark.parametrize('class_weight', [None, [1.0] * 7])
def test_training_step__allocates_no_float64(class_weight):
    model = build_on_meta().train()
    model.decode_head.loss_decode.class_weight = class_weight
    images = torch.empty(2, 3, 64, 96, device='meta')
    labels = PixelData(data=torch.empty(1, 64, 96, dtype=torch.int64, device='meta'))
    samples = [SegDataSample(gt_sem_seg=labels, metainfo=dict(img_shape=(64, 96)))] * 2
    with NoFloat64():
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        losses = model.loss(images, samples)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    assert model.backbone.patch_embed.projection.weight.grad.shape == (16, 3, 4, 4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_prepared_model__allocates_no_float64(dtype):
    model = build_on_meta().eval()
    with NoFloat64(), torch.inference_mode():
        logits = prepare_for_inference(model, dtype=dtype)(
            torch.empty(1, 3, 128, 160, device='meta')
        )
    assert logits.dtype == torch.float32


def test_widest_float__is_float64_where_there_is_one():
    assert widest_float(torch.device('cuda', 1)) == torch.float64
    assert widest_float(torch.device('cpu')) == torch.float64
    assert widest_float(torch.device('mps')) == torch.float32


@pytest.mark.usefixtures('kept_tf32')
def test_set_tf32__is_for_convolutions_and_products():
    set_tf32(True)
    assert torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == 'high'
    set_tf32(False)
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == 'highest'
