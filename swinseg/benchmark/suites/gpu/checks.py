"""What the device computes, beside the processor and beside stock mmseg: figures with bounds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from swinseg.benchmark.exactness import AGREEMENT, of_labels, relative_difference
from swinseg.benchmark.options import PRECISIONS
from swinseg.benchmark.pairs import OURS, PREPARED, STOCK, draw_image
from swinseg.benchmark.parts import Part
from swinseg.benchmark.results import FAIL, PASS, Row, Table
from swinseg.benchmark.suites.gpu.inference import (
    OURS_AUTOCAST,
    STOCK_AUTOCAST,
    is_reduced,
)
from swinseg.benchmark.suites.gpu.models import Models, call_in, products_in
from swinseg.benchmark.suites.gpu.options import GpuOptions
from swinseg.benchmark.suites.gpu.sliding import sliding_labels
from swinseg.benchmark.suites.train import TrainOptions, build_steps
from swinseg.models.prepare import prepare_for_inference

TITLE = 'Checks'
FOUND, BOUND = 'found', 'bound'

LOGITS_BOUND = 1e-4
"""Of float32 logits, as a share of the largest one."""
OTHER_CLASS_BOUND = 0.1
"""Of the pixels whose class differs in float32, in percent: where two scores are equal but for rounding."""
REDUCED_FACTOR = 1.5
"""How many times stock mmseg's own error under autocast ours may have."""
LOSS_BOUND = 0.02
"""Of a loss, as a share of stock mmseg's at the same step.

The first steps of AdamW are of the size of the rate, whatever the gradient's, and so turn rounding into as much.
"""

_SECONDS_OF_PROCESSOR = 8.0
_BACKWARD = 3


def check(case: str, name: str, found: float, bound: float) -> Row:
    """Return a figure that must not be above a bound; one that is no number fails."""
    return Row(
        name,
        figures={FOUND: found, BOUND: bound},
        case=case,
        verdict=PASS if found <= bound else FAIL,
    )


def table_of(rows: list[Row], *, notes: tuple[str, ...] = ()) -> Table:
    """Return checks as a part of their table."""
    return Table(TITLE, tuple(rows), notes=notes)


def parts(models: Models) -> list[Part]:
    """Return the checks of the first model, except that of a killed training."""
    options = models.options
    name, side = options.names[0], options.sizes[0]
    forward = models.forward_seconds(name, side)
    batch_size = options.train_batch_sizes[0]
    in_steps = 2 * options.steps * _BACKWARD * batch_size * forward
    reduced = [each for each in options.precisions if is_reduced(each)]

    def on_both(forwards: float) -> float:
        return _SECONDS_OF_PROCESSOR + forwards * forward

    return [
        Part(TITLE, 'logits, float32', on_both(6), partial(_logits, models, name, side)),
        *(
            Part(
                TITLE,
                f'logits, {precision}',
                2 + 4 * forward,
                partial(_reduced, models, name, side, precision),
            )
            for precision in reduced
            if options.why_not(precision) is None
        ),
        Part(
            TITLE,
            f'loss of {options.steps} steps',
            4 + in_steps,
            partial(_loss_curve, options, name, side),
        ),
        Part(TITLE, 'sliding window', on_both(6), partial(_sliding, models, name, side)),
    ]


def _logits(models: Models, name: str, side: int) -> Table:
    case = 'logits, float32'
    pair = models.pair(name)
    image = draw_image(1, 3, side, side)
    on_device = image.to(models.options.device)
    with torch.no_grad(), products_in('float32'):
        stock, ours = pair.stock(on_device), pair.ours(on_device)
        prepared = prepare_for_inference(pair.ours)(on_device)
        stock_there, ours_there = (
            copy.deepcopy(model).cpu()(image) for model in (pair.stock, pair.ours)
        )
    rows = [
        check(case, label, relative_difference(reference, found), LOGITS_BOUND)
        for label, reference, found in (
            (f'{OURS}, of the processor', ours_there, ours),
            (f'{OURS}, of {STOCK} on the device', stock, ours),
            (f'{PREPARED}, of the processor', ours_there, prepared),
            (f'{STOCK}, of the processor', stock_there, stock),
        )
    ]
    rows.append(
        check(
            case,
            f'{OURS}, other class than {STOCK} (%)',
            _other_class(stock.argmax(1), ours.argmax(1)),
            OTHER_CLASS_BOUND,
        )
    )
    return table_of(
        rows,
        notes=('Differences of logits are shares of the largest logit; TF32 is off.',),
    )


def _other_class(reference: Tensor, found: Tensor) -> float:
    return 100 - of_labels(reference, found)[AGREEMENT]


def _rms(reference: Tensor, found: Tensor) -> float:
    return float((reference.double() - found.double()).square().mean().sqrt())


def _reduced(models: Models, name: str, side: int, precision: str) -> Table:
    case = f'logits, {precision}'
    pair = models.pair(name)
    image = draw_image(1, 3, side, side, device=models.options.device)
    with torch.no_grad(), products_in('float32'):
        exact = pair.stock(image)
        stock = call_in(precision, pair.stock, image)()
        results = {OURS_AUTOCAST: call_in(precision, pair.ours, image)()}
        results[PREPARED] = prepare_for_inference(pair.ours, dtype=PRECISIONS[precision])(image)
    rows = []
    size = float(exact.abs().max())
    measures: tuple[tuple[str, Callable[[Tensor], float], float], ...] = (
        ('error of logits', lambda found: _rms(exact, found) / size, LOGITS_BOUND),
        (
            'other class (%)',
            lambda found: _other_class(exact.argmax(1), found.argmax(1)),
            OTHER_CLASS_BOUND,
        ),
    )
    for measure, of, least in measures:
        bound = max(REDUCED_FACTOR * of(stock), least)
        rows += [
            check(case, f'{label}, {measure}', of(found), bound) for label, found in results.items()
        ]
    return table_of(
        rows,
        notes=(
            f'In smaller types: the root of the mean square error against {STOCK} in float32, as a share of the '
            f'largest logit; the bound is {REDUCED_FACTOR:g} times that of {STOCK_AUTOCAST}.',
        ),
    )


def _loss_curve(options: GpuOptions, name: str, side: int) -> Table:
    case = f'loss of {options.steps} steps'
    of_steps = TrainOptions(
        device=options.device, config=options.config, batch_size=options.train_batch_sizes[0]
    )
    with products_in('float32'):
        stock, ours = (
            [float(step.run()[0]) for _ in range(options.steps)]
            for step in build_steps(of_steps, name, side, 'float32')
        )
    return table_of(
        loss_rows(case, stock, ours),
        notes=(
            'Losses: same weights, batch and optimizer, without dropout; the largest difference at any step as a '
            "share of stock mmseg's loss.",
        ),
    )


def loss_rows(case: str, stock: list[float], ours: list[float]) -> list[Row]:
    """Return what is checked of two curves of losses."""
    differences = [abs(a - b) / abs(a) for a, b in zip(stock, ours, strict=True)]
    # max() passes over a nan that is not the first.
    largest = float(torch.tensor(differences).max())
    return [
        check(case, f'{OURS}, of {STOCK}', largest, LOSS_BOUND),
        check(case, f'{OURS}, last loss / first', ours[-1] / ours[0], 1.0),
    ]


def _sliding(models: Models, name: str, side: int) -> Table:
    case = 'sliding window'
    window = max(side // 2, 32)
    height, width = 2 * window + window // 4, 2 * window - window // 8
    image = draw_image(1, 3, height, width, seed=4)
    ours = models.pair(name).ours
    with products_in('float32'):
        expected, found, prepared = (
            sliding_labels(model, image.to(device), window=window, stride=window * 3 // 4)()
            for model, device in (
                (copy.deepcopy(ours).cpu(), 'cpu'),
                (ours, models.options.device),
                (prepare_for_inference(ours), models.options.device),
            )
        )
    return table_of(
        [
            check(
                case,
                f'{label}, other class than on the processor (%)',
                _other_class(expected, labels),
                OTHER_CLASS_BOUND,
            )
            for label, labels in ((OURS, found), (PREPARED, prepared))
        ]
    )
