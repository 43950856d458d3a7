"""Seconds from an image to its logits: stock mmseg, swinseg and Hugging Face's model, eager and compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from swinseg.benchmark.exactness import of_logits
from swinseg.benchmark.options import PRECISIONS
from swinseg.benchmark.pairs import OURS, PREPARED, STOCK, Pair, config_of, draw_image
from swinseg.benchmark.parts import FAILED, Part
from swinseg.benchmark.results import Table
from swinseg.benchmark.suites.gpu.models import (
    Models,
    call_in,
    fastest_convolutions,
    products_in,
    transformers_logits,
    why_no_transformers,
)
from swinseg.benchmark.suites.gpu.options import TRANSFORMERS, GpuOptions
from swinseg.benchmark.timing import Candidate, compare, first_line
from swinseg.models.prepare import prepare_for_inference

TITLE, COMPILED_TITLE = 'Inference', 'Inference, compiled'
STOCK_AUTOCAST, OURS_AUTOCAST = f'{STOCK}, autocast', f'{OURS}, autocast'
STOCK_COMPILED, OURS_COMPILED = f'{STOCK}, compiled', f'{OURS}, compiled'
_TRANSFORMERS_AUTOCAST = f'{TRANSFORMERS}, autocast'

_WARM_UPS = 3
_NOTES = (
    'All are compared with stock mmseg in float32 without TF32. Rows named stock mmseg are in float32, in TF32 '
    'where the case says so.',
    'Each call is waited for; cuDNN chooses by measuring.',
)
# Inductor's seconds for a block of the backbone with its share of the head: with Triton, and with a C++ compiler.
_SECONDS_TO_COMPILE_A_BLOCK = {'cuda': 3.0, 'cpu': 10.0}
# For building a pair of models.
_SECONDS_TO_BUILD = 2.0


def is_reduced(precision: str) -> bool:
    """Whether a precision is a smaller type, which models of float32 compute in under autocast."""
    return PRECISIONS[precision] != torch.float32


def case_name(name: str, side: int, batch_size: int, precision: str) -> str:
    """Return what a case is called."""
    return f'{name}, {side} x {side}, batch {batch_size}, {precision}'


def part(models: Models, name: str, side: int, batch_size: int, precision: str) -> Part:
    """Return the case of eager models."""
    case = case_name(name, side, batch_size, precision)
    calls = 2 + _WARM_UPS + 2  # with the rounds that are always run
    rows = 6 if is_reduced(precision) else 4
    expected = rows * calls * batch_size * models.forward_seconds(name, side)
    return Part(
        TITLE,
        case,
        expected + models.options.seconds + _SECONDS_TO_BUILD,
        partial(_measure, TITLE, models, name, side, batch_size, precision),
        f'{TITLE}, {precision}',
    )


def compiled_part(models: Models, name: str, side: int, batch_size: int, precision: str) -> Part:
    """Return the case of compiled models, beside those that need no compiler."""
    case = case_name(name, side, batch_size, precision)
    blocks = sum(config_of(name, models.options.config).model.backbone.depths)
    calls = 4 * (4 + _WARM_UPS) * batch_size
    expected = calls * models.forward_seconds(name, side)
    to_compile = 2 * blocks * _SECONDS_TO_COMPILE_A_BLOCK[torch.device(models.options.device).type]
    return Part(
        COMPILED_TITLE,
        case,
        expected + models.options.seconds + to_compile,
        partial(_measure, COMPILED_TITLE, models, name, side, batch_size, precision),
        COMPILED_TITLE,
    )


def _measure(
    title: str, models: Models, name: str, side: int, batch_size: int, precision: str
) -> Table:
    options = models.options
    case = case_name(name, side, batch_size, precision)
    reason = options.why_not(precision)
    if reason is not None:
        return Table(title, (), left_out={case: reason})
    pair = models.pair(name)
    image = draw_image(batch_size, 3, side, side, device=options.device)
    is_compiled = title == COMPILED_TITLE
    ways = _compiled_ways if is_compiled else _eager_ways
    with contextlib.ExitStack() as stack, torch.no_grad(), fastest_convolutions():
        if is_compiled:
            stack.callback(torch.compiler.reset)
        with products_in('float32'):
            reference = pair.stock(image)
        with products_in(precision):
            candidates, absent = ways(options, pair, image, precision)
            rows, failed = compare(
                candidates,
                of_logits,
                rounds=options.rounds,
                device=options.device,
                case=case,
                reference=reference,
                warm_ups=_WARM_UPS,
            )
    return Table(
        title, tuple(rows), STOCK, PREPARED, left_out=absent | _with_marks(failed), notes=_NOTES
    )


def _with_marks(failed: Mapping[str, str]) -> dict[str, str]:
    """Say of our own rows that they failed; others' are only left out."""
    return {name: (FAILED if OURS in name else '') + why for name, why in failed.items()}


def _eager_ways(
    options: GpuOptions, pair: Pair, image: Tensor, precision: str
) -> tuple[list[Candidate], dict[str, str]]:
    reduced = is_reduced(precision)
    candidates = [Candidate(STOCK, call_in('float32', pair.stock, image))]
    if reduced:
        candidates.append(Candidate(STOCK_AUTOCAST, call_in(precision, pair.stock, image)))
    ours = OURS_AUTOCAST if reduced else OURS
    candidates += [
        Candidate(ours, call_in(precision, pair.ours, image)),
        _prepared(pair, image, precision),
    ]
    if TRANSFORMERS not in options.peers:
        return candidates, {}
    label = _TRANSFORMERS_AUTOCAST if reduced else TRANSFORMERS
    reason = why_no_transformers()
    if reason is None:
        try:
            theirs = transformers_logits(pair, options.config)
        except Exception as error:  # its code is not ours, and must not cost the other rows
            reason = first_line(error)
        else:
            candidates.append(Candidate(label, call_in(precision, theirs, image), may_fail=True))
    return candidates, {} if reason is None else {label: reason}


def _compiled_ways(
    options: GpuOptions, pair: Pair, image: Tensor, precision: str
) -> tuple[list[Candidate], dict[str, str]]:
    del options
    candidates = [
        Candidate(STOCK, call_in('float32', pair.stock, image)),
        _prepared(pair, image, precision),
    ]
    for label, model in ((STOCK_COMPILED, pair.stock), (OURS_COMPILED, pair.ours)):
        compiled = torch.compile(model, dynamic=False)
        candidates.append(Candidate(label, call_in(precision, compiled, image), may_fail=True))
    return candidates, {}


def _prepared(pair: Pair, image: Tensor, precision: str) -> Candidate:
    prepared: Callable[[Tensor], Tensor] = prepare_for_inference(
        pair.ours, dtype=PRECISIONS[precision]
    )
    return Candidate(PREPARED, lambda: prepared(image))
