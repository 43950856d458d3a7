"""Dice, focal and Lovász loss against their formulas, pixel by pixel in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from support.mmseg_pairs import TINY, build_segmentor
from swinseg.errors import ArchitectureError
from swinseg.models.losses.lovasz import jaccard_steps

OWN = ['SoftDiceLoss', 'SoftmaxFocalLoss', 'LovaszSoftmaxLoss']


def build(kind, **options):
    return MODELS.build(dict(type=kind, **options))


def case(*, classes=4, images=2, size=(5, 6), seed=0, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, classes, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (images, *size), generator=generator)
    void = torch.rand(labels.shape, generator=generator) < ignored
    return logits.requires_grad_(), labels.masked_fill(void, 255)


def pixels(logits, labels):
    """Yield the probabilities and the class of each pixel that counts."""
    for image, truth in zip(logits.detach().softmax(1).tolist(), labels.tolist(), strict=True):
        for y, row in enumerate(truth):
            for x, label in enumerate(row):
                if label != 255:
                    yield [plane[y][x] for plane in image], label


def dice_by_hand(found, *, classes):
    losses = []
    for c in range(classes):
        if any(label == c for _, label in found):
            overlap = sum(p[c] for p, label in found if label == c)
            sizes = sum(p[c] ** 2 for p, _ in found) + sum(label == c for _, label in found)
            losses.append(1 - 2 * overlap / sizes)
    return sum(losses) / len(losses)


def focal_by_hand(found, *, gamma, alpha):
    return sum(
        -alpha[label] * (1 - p[label]) ** gamma * math.log(p[label]) for p, label in found
    ) / len(found)


def lovasz_by_hand(found, *, classes):
    """The Lovász extension by its definition, from the set function 1 - IoU of the wrong pixels."""
    losses = []
    for c in range(classes):
        truth = {i for i, (_, label) in enumerate(found) if label == c}
        if not truth:
            continue
        errors = [abs((i in truth) - p[c]) for i, (p, _) in enumerate(found)]

        def set_function(wrong, truth=truth):
            return 1 - len(truth - wrong) / len(truth | wrong)

        order = sorted(range(len(found)), key=lambda i: -errors[i])
        losses.append(
            sum(
                errors[i] * (set_function(set(order[: n + 1])) - set_function(set(order[:n])))
                for n, i in enumerate(order)
            )
        )
    return sum(losses) / len(losses)


@settings(deadline=None, max_examples=25)
@given(
    classes=st.integers(2, 5),
    images=st.integers(1, 2),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 999),
)
def test_losses__equal_their_formulas(classes, images, size, seed):
    logits, labels = case(classes=classes, images=images, size=size, seed=seed)
    found = list(pixels(logits, labels))
    if not found:
        return
    alpha = [1.0 + c for c in range(classes)]
    expected = {
        'SoftDiceLoss': dice_by_hand(found, classes=classes),
        'SoftmaxFocalLoss': focal_by_hand(found, gamma=2.0, alpha=alpha),
        'LovaszSoftmaxLoss': lovasz_by_hand(found, classes=classes),
    }
    for kind, value in expected.items():
        options = dict(alpha=alpha) if kind == 'SoftmaxFocalLoss' else {}
        loss = build(kind, loss_weight=3.0, **options)(logits, labels)
        # The steps of the Lovász loss are float32.
        assert float(loss.detach()) == pytest.approx(3 * value, rel=1e-6, abs=1e-9), kind


@pytest.mark.parametrize('kind', OWN)
def test_losses__gradient_is_the_derivative(kind):
    logits, labels = case(size=(3, 4))
    loss = build(kind)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits, eps=1e-6, rtol=1e-4)


@pytest.mark.parametrize('kind', OWN)
def test_losses__ignored_pixels_do_not_matter(kind):
    logits, labels = case()
    loss = build(kind)
    expected = loss(logits, labels)
    (gradient,) = torch.autograd.grad(expected, logits)
    assert (gradient[:, 0][labels == 255] == 0).all()
    other = logits.detach() + 100 * torch.randn_like(logits) * (labels == 255)[:, None]
    torch.testing.assert_close(loss(other, labels), expected.detach())
    # What a sampler leaves out does not count either.
    torch.testing.assert_close(
        loss(other, labels.where(labels != 255, 0), (labels != 255).float()), expected.detach()
    )


@pytest.mark.parametrize('kind', OWN)
def test_losses__without_a_pixel_that_counts_are_zero(kind):
    logits, labels = case()
    loss = build(kind)(logits, torch.full_like(labels, 255))
    assert loss == 0
    assert torch.autograd.grad(loss, logits)[0].abs().max() == 0


@pytest.mark.parametrize('kind', OWN)
@pytest.mark.parametrize('scale', [1e4, 1e-4])
def test_losses__stay_finite_for_logits_of_any_size(kind, scale):
    logits, labels = case()
    logits = (scale * logits.detach()).to(torch.bfloat16).requires_grad_()
    loss = build(kind)(logits, labels)
    assert loss.dtype == torch.float32
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize('kind', OWN)
def test_losses__fall_to_zero_where_all_is_right(kind):
    _, labels = case(ignored=0)
    logits = 50 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    assert build(kind)(logits, labels) < 1e-6


def test_focal__of_gamma_0_is_cross_entropy():
    logits, labels = case()
    expected = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(build('SoftmaxFocalLoss', gamma=0.0)(logits, labels), expected)


def test_jaccard_steps__of_a_million_pixels_keep_their_digits():
    is_class = torch.rand(10**6, generator=torch.Generator().manual_seed(0)) < 0.5
    size, hits = int(is_class.sum()), is_class.double().cumsum(0)
    union = size + (~is_class).double().cumsum(0)
    expected = (1 - (size - hits) / union).diff()
    steps = jaccard_steps(is_class)
    torch.testing.assert_close(steps[1:].double(), expected, rtol=1e-4, atol=0)
    assert float(steps.double().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (dict(kind='SoftDiceLoss', loss_name='dice'), "must contain 'loss', .* found 'dice'"),
        (dict(kind='SoftmaxFocalLoss', loss_name='focal'), "must contain 'loss'"),
    ],
)
def test_losses__names_that_mmengine_would_not_train_with(arguments, sentence):
    with pytest.raises(ArchitectureError, match=sentence):
        build(**arguments)


@pytest.mark.parametrize('kind', OWN)
def test_losses__refuse_a_head_with_one_channel(kind):
    with pytest.raises(ArchitectureError, match=f'{kind} needs a channel for each class'):
        build(kind)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))


COMBINATIONS = {
    'weights': dict(loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 0.5, 4.0])),
    'OHEM': dict(sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=50)),
    'OHEM by loss': dict(
        loss_decode=dict(type='SoftmaxFocalLoss'),
        sampler=dict(type='OHEMPixelSampler', min_kept=50),
    ),
    'weights and OHEM': dict(
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 0.5, 4.0]),
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=50),
    ),
    'focal': dict(loss_decode=dict(type='SoftmaxFocalLoss')),
    'cross entropy, Dice and Lovász': dict(
        loss_decode=[
            dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 0.5, 4.0]),
            dict(type='SoftDiceLoss', loss_weight=0.5),
            dict(type='LovaszSoftmaxLoss', loss_weight=0.5),
        ]
    ),
}


@pytest.mark.parametrize('void', [False, True], ids=['valid', 'no valid pixel'])
@pytest.mark.parametrize('name', COMBINATIONS)
def test_losses__train_both_heads_of_the_segmentor(name, void):
    model = build_segmentor(
        stock=False, backbone=TINY, channels=16, num_classes=4, decode_head=_head(name, 'UPerNetHead'),
        auxiliary_head=_head(name, 'FCNHead'),
    )  # fmt: skip
    _, labels = case(size=(32, 32))
    labels = torch.full_like(labels, 255) if void else labels
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]
    losses = model.loss(torch.randn(2, 3, 32, 32), samples)
    total, _ = model.parse_losses(losses)
    total.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.isfinite(gradients).all()
    assert (float(total.detach()) > 0) == (float(gradients.abs().max()) > 0) == (not void)
    kinds = COMBINATIONS[name].get('loss_decode', {})
    expected = len(kinds) if isinstance(kinds, list) else 1
    assert sum('decode.loss' in key for key in losses) == expected
    assert sum('aux.loss' in key for key in losses) == expected


def _head(name, kind):
    options = dict(
        type=kind,
        num_classes=4,
        channels=16,
        norm_cfg=dict(type='GN', num_groups=4),
        align_corners=False,
    )
    if kind == 'UPerNetHead':
        options.update(in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3])
    else:
        options.update(in_channels=64, in_index=2, num_convs=1, concat_input=False)
    return {**options, **COMBINATIONS[name]}
