"""Labels from blocks of rows against resizing all scores by PyTorch and taking the argmax."""

import resource
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from support import processes
from swinseg.models import postprocess as label_decision
from swinseg.models.postprocess import predict_labels, resized_rows, without_padding_and_flip


def scores_of(*shape, seed=0, dtype=torch.float32):
    return 5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def resized(scores, size, align_corners):
    whole = F.interpolate(scores[None], size=size, mode='bilinear', align_corners=align_corners)
    return whole[0]


def joined(blocks):
    return torch.cat([block.clone() for _, block in blocks], 1)


SIZES = [
    ((128, 128), (512, 683)),
    ((130, 171), (97, 128)),
    ((37, 41), (100, 77)),
    ((60, 80), (60, 80)),
    ((60, 80), (60, 133)),
]


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('size', 'target'), SIZES, ids=str)
@pytest.mark.parametrize('block', [1, 2**14, 2**19])
def test_resized_rows__are_the_bits_of_pytorch(monkeypatch, size, target, align_corners, block):
    monkeypatch.setattr(label_decision, '_CPU_BLOCK', block)
    scores = scores_of(5, *size)
    found = joined(resized_rows(scores, target, align_corners=align_corners))
    assert torch.equal(found, resized(scores, target, align_corners))


lengths = st.integers(1, 40)


@settings(deadline=None)
@given(lengths, lengths, lengths, lengths, st.booleans(), st.integers(1, 3000))
def test_resized_rows__of_any_size(height, width, target_height, target_width, corners, block):
    scores = scores_of(3, height, width)
    target = (target_height, target_width)
    expected = resized(scores.double(), target, corners)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_decision, '_CPU_BLOCK', block)
        blocks = [
            (rows, part.clone())
            for rows, part in resized_rows(scores, target, align_corners=corners)
        ]
    assert [row for rows, _ in blocks for row in range(rows.start, rows.stop)] == list(
        range(target_height)
    )
    # float32 places a sample at most some 40 * 2**-24 from where float64 does.
    torch.testing.assert_close(
        torch.cat([part for _, part in blocks], 1).double(), expected, atol=2e-4, rtol=0
    )


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('size', 'target'), SIZES, ids=str)
def test_rows_from_gathers__equal_those_from_slices(monkeypatch, size, target, align_corners):
    monkeypatch.setattr(label_decision, '_CPU_BLOCK', 2**14)
    scores = scores_of(5, *size)
    found = joined(label_decision._rows_from_gathers(scores, *target, align_corners))
    torch.testing.assert_close(found, resized(scores, target, align_corners), atol=5e-6, rtol=0)


@pytest.mark.parametrize(
    ('dtype', 'expected'),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_resized_rows__half_precision_is_resized_in_float32(dtype, expected):
    scores = scores_of(4, 20, 30).to(dtype)
    found = joined(resized_rows(scores, (50, 70), align_corners=False))
    assert found.dtype == expected
    # To rounding: at this size PyTorch 2.6 takes a kernel that places pixels with another rounding.
    torch.testing.assert_close(
        found, resized(scores.to(expected), (50, 70), False), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('num_classes', [2, 150, 256, 257, 300])
@pytest.mark.parametrize('target', [(61, 83), (32, 40)], ids=str)
def test_predict_labels__labels_are_those_of_the_resized_scores(num_classes, target):
    scores = scores_of(num_classes, 32, 40)
    labels, confidence = predict_labels(scores, target, threshold=None)
    assert confidence is None
    assert labels.dtype == (torch.uint8 if num_classes <= 256 else torch.int64)
    assert torch.equal(labels.long(), resized(scores, target, False).argmax(0))


def test_predict_labels__channels_last_scores():
    scores = scores_of(7, 32, 40)
    last = scores.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for target in ((32, 40), (100, 90)):
        assert torch.equal(
            predict_labels(last, target, threshold=None)[0],
            predict_labels(scores, target, threshold=None)[0],
        )


def test_predict_labels__equal_scores_go_to_the_first_class():
    scores = torch.randint(0, 3, (200, 17, 19), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(predict_labels(scores, threshold=None)[0].long(), scores.argmax(0))
    assert torch.equal(
        predict_labels(-scores * torch.inf, threshold=None)[0].long(),
        (-scores * torch.inf).argmax(0),
    )


def test_predict_labels__nan_is_what_argmax_makes_of_it():
    scores = scores_of(9, 12, 15)
    scores[4, 3, 5] = scores[2, 3, 5] = torch.nan
    assert torch.equal(predict_labels(scores, threshold=None)[0].long(), scores.argmax(0))


def test_predict_labels__confidence_equals_softmax():
    logits = scores_of(7, 50, 11)
    labels, confidence = predict_labels(logits, (150, 31), threshold=None, with_confidence=True)
    expected, indices = resized(logits, (150, 31), False).softmax(0).max(0)
    assert torch.equal(labels.long(), indices)
    torch.testing.assert_close(confidence, expected)


def test_predict_labels__confidence_of_probabilities_is_the_largest():
    probabilities = scores_of(7, 50, 11).softmax(0)
    labels, confidence = predict_labels(
        probabilities, threshold=None, are_probabilities=True, with_confidence=True
    )
    expected, indices = probabilities.max(0)
    assert torch.equal(labels.long(), indices)
    assert torch.equal(confidence, expected)


@pytest.mark.parametrize('num_classes', [1, 7])
def test_predict_labels__fills_in_all_probabilities(num_classes):
    logits = scores_of(num_classes, 50, 11)
    found = torch.full((num_classes, 150, 31), torch.nan)
    labels, confidence = predict_labels(
        logits, (150, 31), threshold=0.5, with_confidence=True, probabilities=found
    )
    scores = resized(logits, (150, 31), False)
    expected = scores.softmax(0) if num_classes > 1 else scores.sigmoid()
    torch.testing.assert_close(found, expected)
    again = predict_labels(logits, (150, 31), threshold=0.5, with_confidence=True)
    assert torch.equal(labels, again[0])
    assert torch.equal(confidence, again[1])


@pytest.mark.parametrize('are_probabilities', [False, True])
def test_predict_labels__one_channel_is_compared_with_the_threshold(are_probabilities):
    logits = torch.tensor([[[-2.0, -0.5, 3.0]]])
    labels, confidence = predict_labels(
        logits.sigmoid() if are_probabilities else logits,
        threshold=0.3,
        are_probabilities=are_probabilities,
        with_confidence=True,
    )
    assert labels.dtype == torch.uint8
    assert labels.tolist() == [[0, 1, 1]]
    torch.testing.assert_close(confidence, torch.tensor([[1 - 0.11920292, 0.37754067, 0.95257413]]))


def test_predict_labels__leaves_the_scores_alone_and_needs_no_gradient():
    scores = scores_of(6, 10, 12).requires_grad_()
    before = scores.detach().clone()
    for target in ((10, 12), (25, 31)):
        _, confidence = predict_labels(scores, target, threshold=None, with_confidence=True)
        assert not confidence.requires_grad
    assert torch.equal(scores, before)


@pytest.mark.parametrize('key', ['padding_size', 'img_padding_size'])
@pytest.mark.parametrize(('direction', 'axis'), [('horizontal', 2), ('vertical', 1)])
def test_without_padding_and_flip__gives_the_images_scores(key, direction, axis):
    image = scores_of(3, 6, 8)
    padded = F.pad(image.flip(axis), (1, 2, 3, 0), value=9)
    meta = {key: (1, 2, 3, 0), 'flip': True, 'flip_direction': direction}
    assert torch.equal(without_padding_and_flip(padded, meta), image)
    assert torch.equal(without_padding_and_flip(image, {'flip': False}), image)


def _growth() -> int:
    """Return by how many kilobytes the peak of this process grows when labels of 512 x 1400 are decided."""
    scores = torch.randn(150, 64, 64)
    predict_labels(scores[:, :8], (80, 1400), threshold=None, with_confidence=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predict_labels(scores, (512, 1400), threshold=None, with_confidence=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='ru_maxrss has another unit elsewhere'
)
def test_predict_labels__peak_memory_holds_no_full_size_scores(tmp_path):
    (kilobytes,) = processes.values(processes.run(_growth, count=1, folder=tmp_path))
    full_size = 150 * 512 * 1400 * 4 / 1024
    # Labels and confidence at full size are 4 MB; the scores would be 430.
    assert kilobytes < full_size / 20
