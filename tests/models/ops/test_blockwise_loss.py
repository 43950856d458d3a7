"""The loss in blocks of rows against mmseg's, on whole logits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses import accuracy
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg.errors import ArchitectureError
from swinseg.models import postprocess as label_decision
from swinseg.models.ops import blockwise_loss
from swinseg.models.ops.blockwise_loss import cross_entropy, losses_of


def case(classes, size, target, *, dtype=torch.float32, images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(images, classes, *size, generator=generator)
    labels = torch.randint(0, classes, (images, *target), generator=generator)
    ignored = torch.rand(labels.shape, generator=generator) < 0.2
    return logits.to(dtype).requires_grad_(), labels.masked_fill(ignored, 255)


def head_with(criteria=None, *, sampler=None, **loss):
    return MODELS.build(
        dict(
            type=FCNHead,
            in_channels=6,
            in_index=0,
            channels=8,
            num_classes=5,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            loss_decode=criteria or dict(type='CrossEntropyLoss', **loss),
            sampler=sampler,
        )
    )


def samples(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


@settings(deadline=None, max_examples=40)
@given(
    classes=st.integers(1, 9),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    target=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    align_corners=st.booleans(),
    average_over_ignored=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cross_entropy__equals_the_single_steps(
    classes, size, target, align_corners, average_over_ignored, seed
):
    logits, labels = case(classes, size, target, dtype=torch.float64, seed=seed)
    counted = (labels != 255).sum()
    pixels = labels.numel() if average_over_ignored else counted
    resized = F.interpolate(logits, target, mode='bilinear', align_corners=align_corners)
    expected = F.cross_entropy(resized, labels, ignore_index=255, reduction='sum')
    expected = expected / (pixels + torch.finfo(torch.float32).eps)
    found, percent = cross_entropy(
        logits,
        labels,
        ignore_index=255,
        average_over_ignored=average_over_ignored,
        align_corners=align_corners,
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        percent,
        accuracy(resized, labels, ignore_index=255),
        check_dtype=False,
        rtol=1e-5,
        atol=1e-4,
    )
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (3 * found, 3 * expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('elements', [1, 300, 10**6])
def test_cross_entropy__blocks_of_any_size_agree(elements, monkeypatch):
    monkeypatch.setattr(label_decision, '_CPU_BLOCK', elements)
    logits, labels = case(4, (5, 3), (14, 10), dtype=torch.float64, images=1)

    def loss(x):
        return cross_entropy(
            x, labels, ignore_index=255, average_over_ignored=True, align_corners=False
        )[0]

    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize('average_over_ignored', [False, True])
def test_cross_entropy__class_weights_are_those_of_pytorch(average_over_ignored):
    logits, labels = case(4, (5, 7), (19, 23), dtype=torch.float64)
    class_weight = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)
    resized = F.interpolate(logits, (19, 23), mode='bilinear')
    expected = F.cross_entropy(resized, labels, weight=class_weight, ignore_index=255)
    found, _ = cross_entropy(
        logits,
        labels,
        ignore_index=255,
        average_over_ignored=average_over_ignored,
        align_corners=False,
        class_weight=class_weight,
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-12)


def test_cross_entropy__ignored_pixels_alone_give_zero():
    logits, labels = case(3, (4, 4), (8, 8))
    loss, percent = cross_entropy(
        logits,
        torch.full_like(labels, 255),
        ignore_index=255,
        average_over_ignored=False,
        align_corners=False,
    )
    assert loss == 0
    assert percent == accuracy(
        torch.zeros(2, 3, 8, 8), torch.full((2, 8, 8), 255), ignore_index=255
    )
    assert torch.autograd.grad(loss, logits)[0].abs().max() == 0


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_cross_entropy__half_precision_is_summed_in_float32(dtype):
    logits, labels = case(5, (6, 7), (24, 28), dtype=dtype)
    options = dict(ignore_index=255, average_over_ignored=True, align_corners=False)
    exact = logits.detach().float().requires_grad_()
    loss, expected = (cross_entropy(x, labels, **options)[0] for x in (logits, exact))
    assert loss.dtype == torch.float32
    assert loss == expected
    (gradient,), (wide,) = torch.autograd.grad(loss, logits), torch.autograd.grad(expected, exact)
    assert torch.equal(gradient, wide.to(dtype))


@pytest.mark.parametrize('loss', [{}, dict(avg_non_ignore=True, loss_weight=0.4)], ids=str)
def test_losses_of__plain_cross_entropy_equals_the_heads_own(loss, monkeypatch):
    head = head_with(**loss).eval()
    x = torch.randn(2, 6, 7, 9)
    _, labels = case(5, (1, 1), (28, 33))
    expected = head.loss([x], samples(labels), None)
    monkeypatch.setattr(head, 'loss', None)  # it must not be asked
    found = losses_of(head, [x], samples(labels))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize('loss', [dict(reduction='sum'), dict(use_sigmoid=True)], ids=str)
def test_losses_of__other_losses_are_the_heads_own(loss, monkeypatch):
    head = head_with(**loss).eval()
    x = torch.randn(2, 6, 7, 9)
    labels = torch.randint(0, 5, (2, 28, 33))
    monkeypatch.setattr(blockwise_loss, 'cross_entropy', None)
    expected = head.loss([x], samples(labels), None)
    found = losses_of(head, [x], samples(labels))
    for name, value in expected.items():
        assert torch.equal(found[name], value)


WEIGHTS = [1.0, 2.0, 3.0, 4.0, 5.0]


def test_losses_of__class_weights_are_mmsegs_where_no_pixel_is_ignored(monkeypatch):
    head = head_with(class_weight=WEIGHTS, loss_weight=0.4).eval()
    x, labels = torch.randn(2, 6, 7, 9), torch.randint(0, 5, (2, 28, 33))
    expected = head.loss([x], samples(labels), None)
    monkeypatch.setattr(head, 'loss', None)
    found = losses_of(head, [x], samples(labels))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize('sampler', [None, dict(type='OHEMPixelSampler', thresh=0.7, min_kept=9)])
def test_losses_of__class_weights_in_a_list_with_ignored_pixels(sampler):
    weighted = dict(type='CrossEntropyLoss', class_weight=WEIGHTS, loss_weight=3.0)
    criteria = [weighted, dict(type='CrossEntropyLoss', loss_name='loss_plain')]
    head = head_with(criteria, sampler=sampler).eval()
    x = torch.randn(2, 6, 7, 9)
    _, labels = case(5, (1, 1), (28, 33))
    found = losses_of(head, [x], samples(labels))
    logits = F.interpolate(head([x]), (28, 33), mode='bilinear')
    kept = 1.0 if sampler is None else head.sampler.sample(logits, labels[:, None])
    by_pixel = F.cross_entropy(logits, labels, reduction='none', ignore_index=255) * kept
    weights = torch.tensor([*WEIGHTS, *[0.0] * 251])[labels]
    torch.testing.assert_close(found['loss_ce'], 3 * (by_pixel * weights).sum() / weights.sum())
    torch.testing.assert_close(found['loss_plain'], by_pixel.mean())
    assert found.keys() == {'loss_ce', 'loss_plain', 'acc_seg'}


def test_losses_of__one_weight_for_each_class():
    head = head_with(class_weight=[1.0, 2.0]).eval()
    x, labels = torch.randn(1, 6, 7, 9), torch.randint(0, 5, (1, 28, 33))
    with pytest.raises(ArchitectureError, match=r'class_weight .* has 2 entries for 5 classes'):
        losses_of(head, [x], samples(labels))
