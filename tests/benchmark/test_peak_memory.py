"""Live bytes of tensors, against counts by hand."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from swinseg.benchmark.peak_memory import LiveBytes, peak_bytes

KIB = 256  # float32 values


def test_peak__is_of_what_lives_at_the_same_time():
    def call():
        a = torch.ones(KIB)
        b = a + 1  # 2 KiB live
        del a
        c = b + 1
        del b
        return c + 1

    assert peak_bytes(call) == 2 * 1024


def test_peak__views_and_operations_in_place_take_nothing():
    x = torch.ones(KIB)

    def call():
        x.add_(1)
        return x.view(16, -1).T.mul_(2)[3]

    assert peak_bytes(call) == 0


def test_peak__a_slice_keeps_its_whole_storage():
    with LiveBytes() as watch:
        kept = torch.ones(4 * KIB)[:1]
        assert watch.live == 4 * 1024
        del kept
        assert watch.live == 0
    assert watch.peak == 4 * 1024


def test_peak__sees_what_the_backward_pass_keeps():
    weight = torch.ones(KIB, requires_grad=True)

    def call(steps):
        x = weight
        for _ in range(steps):
            x = x.exp()  # keeps its result
        x.sum().backward()

    call(1)  # makes the gradient, which stays
    assert peak_bytes(lambda: call(20)) - peak_bytes(lambda: call(10)) == 10 * 1024


def test_peak__activation_checkpointing_lowers_it():
    layers = nn.ModuleList(
        nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)) for _ in range(8)
    )
    x = torch.randn(512, 64, requires_grad=True)

    def call(*, recompute):
        y = x
        for layer in layers:
            y = checkpoint(layer, y, use_reentrant=False) if recompute else layer(y)
        y.sum().backward()

    call(recompute=False)
    plain, recomputed = (peak_bytes(lambda r=r: call(recompute=r)) for r in (False, True))
    assert recomputed < 0.7 * plain


def test_peak__is_close_to_the_profilers_count_of_allocations():
    """An independent count: the profiler sees each allocation of PyTorch's CPU allocator."""
    x = torch.ones(KIB)

    def call():
        return ((x + 1) * 2, x - 1)

    with torch.profiler.profile(profile_memory=True) as profile:
        kept = call()
    net = sum(event.self_cpu_memory_usage for event in profile.key_averages())
    with LiveBytes() as watch:
        ours = call()
    assert watch.live == net == 2 * 1024
    assert len(kept) == len(ours)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_peak__on_a_gpu_is_the_allocators():
    assert peak_bytes(lambda: torch.ones(KIB * 1024, device='cuda') + 1, device='cuda') >= 2 * 2**20
