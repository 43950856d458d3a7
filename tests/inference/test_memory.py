"""Plans of memory against what tensors really take, and what one window takes."""

import re
import sys

import numpy as np
import pytest
import torch

from swinseg.benchmark.peak_memory import LiveBytes
from swinseg.inference import SlideError, WindowNeeds, measure_window, plan_memory, slide
from swinseg.inference.memory import resident_peak_bytes

CLASSES = 20
MIB = 2**20


def predictor(pixels):
    """Take three times the memory of the scores."""
    scores = pixels.new_zeros(len(pixels), CLASSES, *pixels.shape[2:])
    return torch.stack([scores, scores]).sum(0)


def needs_of(window):
    pixels = torch.zeros(1, 3, *window)
    with LiveBytes() as watch:
        predictor(pixels)
    return WindowNeeds(CLASSES, watch.peak + pixels.nbytes)


class Strips:
    """An image of bytes, of which only what is read exists."""

    def __init__(self, shape):
        self.shape = shape

    def read(self, top, bottom, left, right):
        return torch.zeros(3, bottom - top, right - left, dtype=torch.uint8)


@pytest.mark.parametrize('blend', ['uniform', 'hann'])
@pytest.mark.parametrize(
    ('shape', 'window', 'stride'),
    [
        ((300, 400), (64, 64), (48, 48)),  # the last rows are moved
        ((208, 400), (64, 64), (48, 48)),
        ((150, 300), (64, 96), (30, 50)),
        ((130, 240), (64, 64), (64, 64)),
        ((40, 50), (64, 64), (48, 48)),
    ],
    ids=str,
)
def test_plan_memory__is_what_tensors_take(shape, window, stride, blend):
    needs = needs_of((min(window[0], shape[0]), min(window[1], shape[1])))
    windows = dict(window=window, stride=stride)
    limit, plans = 2**40, []
    while limit:
        try:
            plan = plan_memory(limit, shape, needs=needs, **windows)
        except SlideError:
            break
        plans.append(plan)
        assert plan.peak_bytes <= limit
        with LiveBytes() as watch:
            for _, labels in slide(
                predictor,
                Strips(shape),
                batch_size=plan.batch_size,
                score_dtype=plan.score_dtype,
                blend=blend,
                reduce=lambda scores: scores.argmax(0).to(torch.uint8),
                **windows,
            ):
                del labels
        assert 0.7 * plan.peak_bytes < watch.peak <= plan.peak_bytes
        limit = int(0.6 * plan.peak_bytes)
    assert plans[0].score_dtype == torch.float32


def test_plan_memory__rounds_only_where_float32_does_not_fit():
    size = dict(window=512, stride=384, needs=WindowNeeds(150, 500 * MIB))
    shape = (20_000, 20_000)
    kept = 150 * 128 * 20_000 * 4
    roomy = plan_memory(8 * 2**30, shape, **size)
    assert roomy.score_dtype == torch.float32
    assert kept < roomy.peak_bytes < kept + 1100 * MIB
    tight = plan_memory(roomy.peak_bytes - 1, shape, **size)
    assert tight.score_dtype == torch.float16
    assert roomy.peak_bytes - tight.peak_bytes > 0.45 * kept
    # Half precision would be of no use without an overlap.
    with pytest.raises(SlideError):
        plan_memory(500 * MIB, shape, **{**size, 'stride': 512})


def test_plan_memory__larger_batches_where_memory_allows():
    needs = WindowNeeds(2, 3 * MIB)
    size = dict(window=64, stride=32, needs=needs)
    plans = [plan_memory(limit * MIB, (64, 2048), **size) for limit in (8, 20, 2000)]
    assert [plan.score_dtype for plan in plans] == [torch.float32] * 3
    assert 1 <= plans[0].batch_size < plans[1].batch_size < plans[2].batch_size == 63


def test_plan_memory__says_what_is_missing():
    needs = WindowNeeds(150, 500 * MIB)
    with pytest.raises(SlideError) as caught:
        plan_memory(1000 * MIB, (20_000, 20_000), window=512, stride=384, needs=needs)
    found = re.fullmatch(
        'an image 20000 pixels wide with 150 classes takes ([0-9,]+) MiB in windows of 512 x 512 every 384 '
        'rows, but 1,000 MiB are allowed; allow more, take smaller windows or a stride closer to them, or cut '
        'the image into narrower pieces',
        str(caught.value),
    )
    enough = int(found[1].replace(',', '')) + 1
    plan = plan_memory(enough * MIB, (20_000, 20_000), window=512, stride=384, needs=needs)
    assert (plan.batch_size, plan.score_dtype) == (1, torch.float16)
    with pytest.raises(SlideError, match='stride must be from 1 to'):
        plan_memory(enough * MIB, (20_000, 20_000), window=512, stride=513, needs=needs)


@pytest.mark.skipif(
    resident_peak_bytes(lambda: None) is None, reason='this system does not tell its memory'
)
def test_measure_window__sees_what_no_tensor_holds():
    def wasteful(pixels):
        np.ones(64 * MIB, np.uint8).sum()
        return predictor(pixels)

    needs = measure_window(wasteful, (32, 48))
    assert needs.classes == CLASSES
    assert needs.peak_bytes > 60 * MIB


def test_measure_window__assumes_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr('swinseg.inference.memory.resident_peak_bytes', lambda call: None)
    assert measure_window(predictor, (32, 48), channels=4) == WindowNeeds(
        CLASSES, 32 * 48 * (3000 + CLASSES * 4)
    )


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux tells')
def test_resident_peak__sees_memory_that_is_gone_afterwards():
    def call():
        torch.ones(64 * 2**18)  # 64 MiB, freed at once

    call()
    risen = resident_peak_bytes(call)
    if risen is None:
        pytest.skip('this kernel does not reset the peak')
    assert 60 * 2**20 < risen < 80 * 2**20
    assert resident_peak_bytes(lambda: None) < 10 * 2**20


def test_resident_peak__errors_of_the_call_come_through():
    def call():
        raise OSError('the disk')

    with pytest.raises(OSError, match='the disk'):
        resident_peak_bytes(call)
