"""Timing several functions in turn: A B C A B C ..., so that a slow moment of the machine meets all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from swinseg.benchmark.results import Row

Call = Callable[[], Any]
Exactness = Callable[[Any, Any], Mapping[str, float]]
"""From the baseline's result and another's to named measures of their difference."""

# A turn is repeated within a round until it takes this long, or the clock's own grain would be measured.
_SHORTEST_TURN = 0.02
# Other libraries' worker threads spin for a moment after their call; ours must not compete with them.
_PAUSE = 0.01


@dataclass(frozen=True)
class Rounds:
    """How often to measure.

    Attributes:
        most: rounds at most.
        seconds: no further round begins when the next would end after this; two are always run.
        clock: seconds since any moment.
        pause: called with the seconds to wait before each turn.
    """

    most: int = 7
    seconds: float = 30.0
    clock: Callable[[], float] = time.perf_counter
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Candidate:
    """Something to be timed.

    Attributes:
        name: of its row.
        call: what is timed; its result is compared with the first candidate's.
        may_fail: whether a failure of its first call only leaves it out.
        figures: further figures for its row, computed after the timing.
    """

    name: str
    call: Call
    may_fail: bool = False
    figures: Callable[[float], Mapping[str, float]] = field(default=lambda median: {})


def with_device_sync(call: Call, device: str) -> Call:
    """Return ``call``, made to wait for a GPU to finish."""
    if torch.device(device).type != 'cuda':
        return call

    def wait() -> Any:
        result = call()
        torch.cuda.synchronize(device)
        return result

    return wait


def under_autocast(call: Call, device: str, dtype: torch.dtype) -> Call:
    """Return ``call``, run under autocast to ``dtype``; float32 changes nothing."""
    if dtype == torch.float32:
        return call
    kind = torch.device(device).type

    def cast() -> Any:
        # Entered for each call, as users do: autocast keeps casts of weights only while it lasts.
        with torch.autocast(kind, dtype=dtype):
            return call()

    return cast


def time_in_turn(calls: Sequence[Call], rounds: Rounds) -> list[list[float]]:
    """Time each function once a round, in the given order.

    A function that is over in less than 20 ms is called several times in its turn, as often in each round.

    Args:
        calls: the functions; they should have run once before.
        rounds: how often.

    Returns:
        For each function the seconds of one call in each round.
    """
    clock = rounds.clock
    seconds: list[list[float]] = [[] for _ in calls]
    counts = [1] * len(calls)
    began = clock()
    collects = gc.isenabled()
    gc.disable()
    try:
        for done in range(1, rounds.most + 1):
            for index, call in enumerate(calls):
                rounds.pause(_PAUSE)
                passed = _time(call, counts[index], clock)
                if done == 1 and passed < _SHORTEST_TURN:
                    counts[index] = _calls_per_turn(call, clock)
                    passed = _time(call, counts[index], clock)
                seconds[index].append(passed / counts[index])
            spent = clock() - began
            if done >= 2 and spent + spent / done > rounds.seconds:
                break
    finally:
        if collects:
            gc.enable()
    return seconds


def _time(call: Call, count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(count):
        call()
    return clock() - start


def _calls_per_turn(call: Call, clock: Callable[[], float]) -> int:
    count = 1
    while count < 4096:
        passed = _time(call, count, clock)
        if passed >= _SHORTEST_TURN:
            break
        count = min(4096, max(2 * count, int(count * _SHORTEST_TURN / max(passed, 1e-6)) + 1))
    return count


def compare(
    candidates: Sequence[Candidate],
    exactness: Exactness,
    *,
    rounds: Rounds,
    device: str = 'cpu',
    case: str = '',
    reference: Any = None,
    warm_ups: int = 0,
) -> tuple[list[Row], dict[str, str]]:
    """Run candidates in turn and compare their results.

    The first call of each, which is not timed, gives the result that is compared with the reference.

    Args:
        candidates: the first is the baseline.
        exactness: measures the difference of two results.
        rounds: how often to time.
        device: on a GPU, each call is waited for.
        case: of the rows.
        reference: a result of higher precision; None takes the first candidate's.
        warm_ups: further calls of each before the timing, of which no result is looked at.

    Returns:
        The rows, and the names of the candidates that failed with the reason.
    """
    left_out: dict[str, str] = {}
    working: list[tuple[Candidate, Call, Mapping[str, float]]] = []
    for candidate in candidates:
        call = with_device_sync(candidate.call, device)
        try:
            result = call()
            for _ in range(warm_ups):
                call()
        except Exception as error:
            # A compiler or a runtime of others may fail in any way; that must not cost the other rows.
            if not candidate.may_fail:
                raise
            left_out[candidate.name] = first_line(error)
            continue
        is_reference = reference is None
        if is_reference:
            reference = result
        working.append((candidate, call, {} if is_reference else exactness(reference, result)))
        del result
    del reference
    timings = time_in_turn([call for _, call, _ in working], rounds)
    rows = []
    for (candidate, _, measured), seconds in zip(working, timings, strict=True):
        row = Row(candidate.name, tuple(seconds), exactness=measured, case=case)
        assert row.median is not None
        rows.append(
            Row(row.name, row.seconds, row.exactness, candidate.figures(row.median), case=case)
        )
    return rows, left_out


def first_line(error: Exception) -> str:
    """Return a failure as one line."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:200]}' if lines else type(error).__name__
