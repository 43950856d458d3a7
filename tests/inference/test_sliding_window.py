"""Scores by overlapping windows: nothing lost, nothing shifted, no seam, and a memory without height."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmseg.models.segmentors import EncoderDecoder

from swinseg.benchmark.peak_memory import LiveBytes
from swinseg.inference import SlideError, slide, slide_blocks
from swinseg.inference.tiling import BLENDS, window_starts


class Source:
    """An image that counts how it is read."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.shape = tuple(pixels.shape[1:])
        self.reads = []

    def read(self, top, bottom, left, right):
        self.reads.append((top, bottom, left, right))
        return self.pixels[:, top:bottom, left:right]


def joined(bands):
    """Put bands together; they must follow one another without a gap."""
    parts, next_row = [], 0
    for first, scores in bands:
        assert first == next_row
        next_row += scores.shape[1]
        parts.append(scores)
    return torch.cat(parts, 1)


def sides(largest):
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


@st.composite
def tilings(draw):
    window = draw(sides(20))
    stride = tuple(draw(st.integers(1, side)) for side in window)
    # Smaller than a window, or up to six windows along an axis.
    size = tuple(
        draw(st.integers(1, side + 5 * step)) for side, step in zip(window, stride, strict=True)
    )
    return size, dict(window=window, stride=stride)


@settings(max_examples=150, deadline=None)
@given(
    tilings(),
    st.sampled_from(BLENDS),
    st.sampled_from([None, 1, 2, 3, 100]),
    st.sampled_from([None, 1, 5000]),
    st.sampled_from([1, 3]),
)
def test_slide__identity_returns_the_image(tiling, blend, batch_size, budget, channels):
    size, windows = tiling
    image = torch.randn(channels, *size, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    options = dict(windows, blend=blend, batch_size=batch_size, memory_budget=budget)
    found = joined(slide(lambda pixels: pixels, image, **options))
    torch.testing.assert_close(found, image, atol=1e-5, rtol=1e-5)
    assert torch.equal(image, before)


@settings(max_examples=100, deadline=None)
@given(tilings(), st.sampled_from(BLENDS))
def test_slide_blocks__cover_each_pixel_once_in_order(tiling, blend):
    size, windows = tiling
    seen = torch.zeros(size)
    corners = []
    image = torch.randn(1, *size)
    for rows, columns, scores in slide_blocks(lambda p: p, image, blend=blend, **windows):
        assert scores.shape == (1, rows.stop - rows.start, columns.stop - columns.start)
        seen[rows, columns] += 1
        corners.append((rows.start, columns.start))
    assert bool((seen == 1).all())
    assert corners == sorted(corners)


@pytest.mark.parametrize('blend', BLENDS)
def test_slide__row_and_column_numbers_show_no_seam(blend):
    rows, columns = torch.meshgrid(torch.arange(301.0), torch.arange(217.0), indexing='ij')
    image = torch.stack([rows, columns])
    found = joined(slide(lambda p: p.clone(), image, window=64, stride=41, blend=blend))
    torch.testing.assert_close(found, image, atol=1e-3, rtol=0)
    assert (found[0].diff(dim=0) - 1).abs().max() < 1e-3
    assert (found[1].diff(dim=1) - 1).abs().max() < 1e-3


@pytest.mark.parametrize('blend', ['gaussian', 'hann'])
def test_slide__blends_remove_the_step_between_windows_that_disagree(blend):
    # The mean of a window's pixels: neighboring windows of a ramp disagree by their distance.
    image = torch.arange(256.0).expand(1, 64, 256)

    def mean(pixels):
        return pixels.mean((2, 3), keepdim=True).expand_as(pixels)

    steps = {}
    for each in ('uniform', blend):
        found = joined(slide(mean, image, window=64, stride=32, blend=each))
        steps[each] = found.diff(dim=2).abs().max()
    assert steps['uniform'] == 32
    assert steps[blend] < 5


def mmsegs_slide(predictor, images, window, stride):
    """Run mmseg's ``slide_inference`` on (B, C, H, W) images; its predictor has five classes."""
    segmentor = SimpleNamespace(
        test_cfg=SimpleNamespace(crop_size=window, stride=stride),
        out_channels=5,
        encode_decode=lambda pixels, metas: predictor(pixels),
    )
    with torch.no_grad():
        return EncoderDecoder.slide_inference(segmentor, images, [{} for _ in images])


@pytest.fixture
def predictor():
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
    return lambda pixels: (
        convolution(pixels.float()) + pixels.float().mean((2, 3), keepdim=True)[:, :1]
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tilings(), st.integers(1, 3), st.sampled_from([None, 1, 3]))
def test_slide__uniform_equals_mmsegs(predictor, tiling, count, batch_size):
    size, windows = tiling
    images = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = mmsegs_slide(predictor, images, **windows)
    for image, scores in zip(images, expected, strict=True):
        found = joined(slide(predictor, image, batch_size=batch_size, **windows))
        assert found.dtype == torch.float32
        assert not found.requires_grad
        torch.testing.assert_close(found, scores, atol=3e-6, rtol=3e-6)


@pytest.mark.parametrize('first_row', [0, 1, 40, 41, 100, 181, 199])
@pytest.mark.parametrize('blend', BLENDS)
@pytest.mark.parametrize('stride', [41, 20])
def test_slide__from_a_row_on_equals_the_run_from_the_top(predictor, first_row, blend, stride):
    image = torch.randn(3, 200, 90)
    calls = []

    def counted(pixels):
        calls.append(len(pixels))
        return predictor(pixels)

    run = partial(slide, counted, image, window=64, stride=stride, blend=blend, batch_size=2)
    whole = joined(run())
    windows = sum(calls)
    calls.clear()
    bands = list(run(first_row=first_row))
    assert bands[0][0] == first_row
    assert torch.equal(torch.cat([scores for _, scores in bands], 1), whole[:, first_row:])
    if first_row > 64:
        assert sum(calls) < windows


def test_slide__reduce_makes_labels_of_blocks(predictor):
    image = torch.randn(3, 150, 170)
    windows = dict(window=64, stride=43, batch_size=1)
    scores = joined(slide(predictor, image, **windows))
    labels = [
        each for _, each in slide(predictor, image, reduce=lambda part: part.argmax(0), **windows)
    ]
    assert torch.equal(torch.cat(labels), scores.argmax(0))


def test_slide__reads_a_source_by_rows_of_windows(predictor):
    pixels = torch.randint(0, 256, (3, 150, 100), dtype=torch.uint8)
    source = Source(pixels)
    bands = slide(predictor, source, window=64, stride=43)
    assert not source.reads
    found = joined(bands)
    assert source.reads == [(0, 64, 0, 100), (43, 107, 0, 100), (86, 150, 0, 100)]
    expected = joined(slide(predictor, pixels.float(), window=64, stride=43))
    assert torch.equal(found, expected)


class MaskedSource(Source):
    """An image that knows which pixels are valid."""

    def __init__(self, pixels, mask):
        super().__init__(pixels)
        self.mask = mask

    def valid(self, top, bottom, left, right):
        return self.mask[top:bottom, left:right]


@st.composite
def masks(draw):
    size, windows = draw(tilings())
    mask = np.zeros(size, bool)
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
        height, width = draw(sides(30))
        mask[top : top + height, left : left + width] = True
    return mask, windows


@settings(max_examples=60, deadline=None)
@given(masks(), st.sampled_from(BLENDS), st.integers(1, 3), st.floats(0, 1))
def test_slide__windows_without_valid_pixels_are_not_computed(masked, blend, batch_size, start):
    mask, windows = masked
    image = torch.randn(1, *mask.shape, generator=torch.Generator().manual_seed(0))
    count = []

    def predictor(pixels):
        count.append(len(pixels))
        # Differs from window to window, so that a missing one would show.
        return torch.cat([pixels, pixels.mean((2, 3), keepdim=True).expand_as(pixels)], 1)

    run = partial(slide, predictor, blend=blend, batch_size=batch_size, **windows)
    expected = joined(run(image))
    every = sum(count)
    count.clear()
    found = joined(run(MaskedSource(image, mask)))
    assert found.isfinite().all()
    valid = torch.from_numpy(mask)
    assert torch.equal(found[:, valid], expected[:, valid])

    (height, width), size = windows['window'], mask.shape
    corners = [
        (y, x)
        for y in window_starts(size[0], height, windows['stride'][0])
        for x in window_starts(size[1], width, windows['stride'][1])
    ]
    assert len(corners) == every
    covered = torch.zeros(size, dtype=torch.bool)
    needed = 0
    for y, x in corners:
        if mask[y : y + height, x : x + width].any():
            needed += 1
            covered[y : y + height, x : x + width] = True
    # One more tells the number of classes where the first window has no data.
    assert needed <= sum(count) <= needed + 1
    assert bool((found[:, ~covered] == 0).all())

    row = int(start * mask.shape[0])
    below = [scores for _, scores in run(MaskedSource(image, mask), first_row=row)]
    if below:
        assert torch.equal(torch.cat(below, 1)[:, valid[row:]], expected[:, row:][:, valid[row:]])


@pytest.mark.parametrize(
    ('dtype', 'score_dtype', 'expected'),
    [
        (torch.float32, torch.float16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float64, torch.float32, torch.float64),
    ],
)
def test_slide__sums_are_float32_or_wider(dtype, score_dtype, expected):
    image = torch.rand(2, 150, 70)
    found = joined(
        slide(lambda p: p.to(dtype), image, window=32, stride=20, score_dtype=score_dtype)
    )
    assert found.dtype == expected
    rounding = max(torch.finfo(dtype).eps, torch.finfo(score_dtype).eps)
    torch.testing.assert_close(found.float(), image, atol=2 * rounding, rtol=0)


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory.'),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.'),
        MemoryError(),
    ],
    ids=lambda error: str(error)[:15],
)
def test_slide__halves_the_batch_when_memory_runs_out(error):
    image = torch.randn(1, 40, 200)
    sizes = []

    def predictor(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise error
        return pixels

    found = joined(slide(predictor, image, window=20, stride=20, batch_size=8))
    assert torch.equal(found, image)
    assert sizes == [8, 4, *[2] * 10]


def test_slide__other_errors_and_single_windows_are_not_tried_again():
    image = torch.randn(1, 40, 200)
    for error, batch_size in (
        (RuntimeError('sizes do not match'), 8),
        (RuntimeError('CUDA out of memory'), 1),
    ):
        calls = []

        def predictor(pixels, error=error, calls=calls):
            calls.append(len(pixels))
            raise error

        with pytest.raises(RuntimeError, match=str(error)):
            next(slide(predictor, image, window=20, stride=20, batch_size=batch_size))
        assert calls == [batch_size]


def test_slide__a_memory_budget_gives_the_batch_size():
    sizes = []

    def predictor(pixels):
        sizes.append(len(pixels))
        return pixels

    image = torch.randn(2, 20, 200)
    # One window of scores has 2 x 20 x 20 x 4 = 3,200 bytes.
    list(slide(predictor, image, window=20, stride=20, memory_budget=13_000))
    assert sizes == [1, 4, 4, 1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(stride=65), "the stride must be from 1 to the window's height, 64, but is 65"),
        (dict(stride=(64, 0)), "the stride must be from 1 to the window's width, 64, but is 0"),
        (dict(batch_size=0), 'batch_size must be at least 1'),
        (dict(blend='linear'), 'blend must be one of uniform, gaussian, hann'),
        (dict(first_row=201), 'first_row must be from 0 to .* 200, but is 201'),
    ],
)
def test_slide__refuses_wrong_arguments_when_it_is_called(options, message):
    with pytest.raises(SlideError, match=message):
        slide(lambda p: p, torch.zeros(1, 200, 100), **{'window': 64, 'stride': 43, **options})


def test_slide__refuses_a_batch_of_images_and_scores_of_another_size():
    with pytest.raises(SlideError, match='give the images of a batch one by one'):
        slide(lambda p: p, torch.zeros(1, 3, 20, 20), window=8, stride=8)
    with pytest.raises(SlideError, match=r'\(1, K, 8, 8\), but returned \(1, 3, 4, 4\)'):
        next(slide(lambda p: p[..., ::2, ::2], torch.zeros(3, 20, 20), window=8, stride=8))


def test_slide_blocks__memory_is_the_overlap_and_a_few_windows_at_any_height():
    window, stride, width, classes = 32, 24, 200, 150

    def predictor(pixels):
        return pixels.new_zeros(len(pixels), classes, *pixels.shape[2:])

    def peak(height):
        image = torch.zeros(1, height, width)
        with LiveBytes() as watch:
            for _, labels in slide(
                predictor,
                image,
                window=window,
                stride=stride,
                batch_size=1,
                blend='gaussian',
                reduce=lambda scores: scores.argmax(0).to(torch.uint8),
            ):
                del labels
        return watch.peak

    one_window = classes * window * window * 4
    kept = (window - stride) * width * classes * 4
    # Heights that windows fit, exactly and with the largest remainders.
    low, *others = (peak(height) for height in (104, 8 + 24 * 12, 9 + 24 * 12, 31 + 24 * 12))
    assert kept < low < kept + 4 * one_window
    # Beside a tile of two windows where the last one is moved.
    assert max(others) < kept + 6 * one_window
    assert abs(others[0] / low - 1) < 0.01
