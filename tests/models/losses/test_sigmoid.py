"""Losses of several classes at a pixel against their formulas, element by element in float64."""

import math

import pytest
import torch
from mmseg.registry import MODELS

from swinseg.errors import ArchitectureError

OWN = ['SigmoidCrossEntropyLoss', 'SigmoidDiceLoss', 'SigmoidFocalLoss']
CLASSES = 3


def build(kind, **options):
    return MODELS.build(dict(type=kind, **options))


def case(seed=0, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, CLASSES, 4, 5)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, shape, generator=generator).byte()
    void = torch.rand(shape, generator=generator) < ignored
    return logits.requires_grad_(), targets.masked_fill(void, 255)


def elements(logits, targets):
    """Return (class, probability, whether it is true) of all that counts."""
    logits = logits.detach()
    return [
        (c, 1 / (1 + math.exp(-float(logits[b, c, y, x]))), int(targets[b, c, y, x]))
        for b, c, y, x in torch.cartesian_prod(*map(torch.arange, targets.shape)).tolist()
        if targets[b, c, y, x] != 255
    ]


def cross_entropy(p, t, factor=1.0):
    return -(factor * t * math.log(p) + (1 - t) * math.log(1 - p))


def test_sigmoid_cross_entropy__by_hand():
    logits, targets = case()
    weights, factors = [1.0, 0.5, 3.0], [2.0, 1.0, 4.0]
    found = elements(logits, targets)
    expected = sum(weights[c] * cross_entropy(p, t, factors[c]) for c, p, t in found)
    expected /= sum(weights[c] for c, _, _ in found)
    loss = build('SigmoidCrossEntropyLoss', class_weight=weights, pos_weight=factors)
    assert float(loss(logits, targets)) == pytest.approx(expected, rel=1e-12)


def test_sigmoid_dice__by_hand():
    logits, targets = case()
    losses = []
    for c in range(CLASSES):
        of_class = [(p, t) for k, p, t in elements(logits, targets) if k == c]
        overlap = sum(p * t for p, t in of_class)
        losses.append(1 - 2 * overlap / sum(p * p + t for p, t in of_class))
    found = float(build('SigmoidDiceLoss', loss_weight=2.0)(logits, targets))
    assert found == pytest.approx(2 * sum(losses) / CLASSES, rel=1e-12)


@pytest.mark.parametrize('alpha', [0.25, [0.1, 0.5, 0.9], None])
def test_sigmoid_focal__by_hand(alpha):
    logits, targets = case()
    losses = []
    for c, p, t in elements(logits, targets):
        right = p if t else 1 - p
        a = 1.0 if alpha is None else alpha[c] if isinstance(alpha, list) else alpha
        share = 1.0 if alpha is None else a if t else 1 - a
        losses.append(-share * (1 - right) ** 1.5 * math.log(right))
    loss = build('SigmoidFocalLoss', gamma=1.5, alpha=alpha)
    assert float(loss(logits, targets)) == pytest.approx(sum(losses) / len(losses), rel=1e-9)


@pytest.mark.parametrize('kind', OWN)
def test_losses__what_is_ignored_has_no_gradient(kind):
    logits, targets = case()
    build(kind)(logits, targets).backward()
    assert not logits.grad[targets == 255].any()
    assert logits.grad[targets != 255].all()


@pytest.mark.parametrize('kind', OWN)
def test_losses__zero_where_nothing_counts(kind):
    logits, targets = case(ignored=1.1)
    loss = build(kind)(logits, targets)
    loss.backward()
    assert float(loss) == 0
    assert not logits.grad.any()


@pytest.mark.parametrize('kind', OWN)
def test_losses__finite_for_large_logits(kind):
    logits = torch.tensor([-100.0, 100.0]).reshape(1, 1, 1, 2).repeat(1, 2, 1, 1).requires_grad_()
    targets = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)[None, :, None]
    build(kind)(logits.half(), targets).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize('kind', OWN)
def test_losses__a_name_that_is_not_trained_with(kind):
    with pytest.raises(ArchitectureError, match="must contain 'loss'"):
        build(kind, loss_name='dice')
