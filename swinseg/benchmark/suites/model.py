"""The whole model, image in and logits out, against stock mmseg, and the exported graphs of both.

With one size: every peer, float32 and reduced precision. With several: how the time grows with the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from swinseg.benchmark import exported
from swinseg.benchmark.exactness import of_logits
from swinseg.benchmark.limit import best_convolution, best_rate
from swinseg.benchmark.options import DTYPES, Options
from swinseg.benchmark.pairs import (
    OURS,
    PREPARED,
    STOCK,
    Pair,
    build_pair,
    draw_image,
    names_of,
)
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Call, Candidate, compare, under_autocast
from swinseg.benchmark.timm_backbone import TimmSwinV2
from swinseg.errors import ArchitectureError, BenchmarkError
from swinseg.models.complexity import count_multiply_adds, growth_exponent
from swinseg.models.prepare import prepare_for_inference

PEERS = ('compiled', *exported.NEEDS)


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model.
        config: instead of the variants' configs.
        sizes: sides of the image in pixels.
        batch_size: images at a time.
        dtypes: precisions.
        peers: beside stock mmseg; some of :data:`PEERS`.
        limit: whether to measure this machine's best convolution, the limit of all times.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    sizes: tuple[int, ...] = (512,)
    batch_size: int = 1
    dtypes: tuple[str, ...] = ('float32', 'bfloat16')
    peers: tuple[str, ...] = ('onnxruntime', 'openvino')
    limit: bool = True

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        unknown = [peer for peer in self.peers if peer not in PEERS]
        if unknown:
            raise BenchmarkError(f'--peers takes {", ".join(PEERS)}, found {unknown[0]!r}')
        if self.batch_size < 1:
            raise BenchmarkError(f'--batch-size must be at least 1, found {self.batch_size}')


def run(options: ModelOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    limits = []
    variants = names_of(options.variants, options.config)
    for dtype in options.dtypes:
        rate = None
        if options.limit:
            table = best_convolution(DTYPES[dtype], device=options.device, rounds=options.rounds)
            rate = best_rate(table)
            limits.append(table)
        for variant in variants:
            if len(options.sizes) == 1:
                yield _at_one_size(options, variant, dtype, rate)
            else:
                yield _growth(options, variant, dtype, rate)
    yield from limits


def _at_one_size(options: ModelOptions, variant: str, dtype: str, rate: float | None) -> Table:
    pair = build_pair(variant, options.config, device=options.device)
    (side,) = options.sizes
    rows, left_out = _measure(options, pair, side, dtype, rate, all_peers=True)
    return Table(
        f'{variant}, {side} x {side}, batch {options.batch_size}, {dtype}',
        tuple(rows),
        baseline=STOCK,
        ours=PREPARED + _suffix(dtype),
        left_out=left_out,
        notes=_limit_note(rate, dtype) + _peer_note(pair),
    )


def _growth(options: ModelOptions, variant: str, dtype: str, rate: float | None) -> Table:
    pair = build_pair(variant, options.config, device=options.device)
    rows: list[Row] = []
    for side in options.sizes:
        case = f'{side} x {side}'
        rows += _measure(options, pair, side, dtype, rate, all_peers=False, case=case)[0]
    notes = [*_limit_note(rate, dtype), *_peer_note(pair)]
    for name in dict.fromkeys(row.name for row in rows):
        seconds = [row.median for row in rows if row.name == name and row.median is not None]
        exponent = growth_exponent([side**2 for side in options.sizes], seconds)
        notes.append(f'{name}: time grows as pixels to the power of {exponent:.3f}')
    return Table(
        f'{variant}, growth with the image, batch {options.batch_size}, {dtype}',
        tuple(rows),
        baseline=STOCK,
        ours=PREPARED + _suffix(dtype),
        notes=tuple(notes),
    )


def _limit_note(rate: float | None, dtype: str) -> tuple[str, ...]:
    if rate is None:
        return ()
    return (
        f'The limit is what the multiply-adds of each model take at {rate / 1e9:.0f} G multiply-adds/s, the rate '
        f"of this machine's best convolution in {dtype}.",
    )


def _peer_note(pair: Pair) -> tuple[str, ...]:
    if not isinstance(pair.stock.backbone, TimmSwinV2):
        return ()
    return (f"mmseg has no Swin Transformer V2: {STOCK} here is timm's under mmseg's heads.",)


def _suffix(dtype: str) -> str:
    return '' if dtype == 'float32' else f', {dtype}'


def _measure(
    options: ModelOptions,
    pair: Pair,
    side: int,
    dtype: str,
    rate: float | None,
    *,
    all_peers: bool,
    case: str = '',
) -> tuple[list[Row], dict[str, str]]:
    """Time one model at one size in one precision; the baseline is stock mmseg in float32."""
    image = draw_image(options.batch_size, 3, side, side, device=options.device)
    candidates = [Candidate(STOCK, lambda: pair.stock(image))]
    if dtype != 'float32':
        candidates.append(Candidate(f'{STOCK}, {dtype}', _call(pair.stock, image, dtype)))
    left_out: dict[str, str] = {}
    if all_peers:
        candidates.append(Candidate(OURS + _suffix(dtype), _call(pair.ours, image, dtype)))
    prepared = prepare_for_inference(pair.ours, dtype=DTYPES[dtype])
    candidates.append(Candidate(PREPARED + _suffix(dtype), lambda: prepared(image)))
    if all_peers:
        peers, absent = _peers(options, pair, image, dtype)
        candidates += peers
        left_out |= absent
    with torch.no_grad():
        rows, failed = compare(
            candidates, of_logits, rounds=options.rounds, device=options.device, case=case
        )
    stock, ours = (
        options.batch_size * count_multiply_adds(model, (side, side))
        for model in (pair.stock, pair.ours)
    )
    return [
        _with_limit(
            row,
            ours if OURS in row.name else stock,
            rate if _suffix(dtype) in row.name else None,
        )
        for row in rows
    ], left_out | failed


def _with_limit(row: Row, multiply_adds: int, rate: float | None) -> Row:
    figures = {'G multiply-adds': multiply_adds / 1e9}
    if rate is not None and row.median is not None:
        figures['time / limit'] = row.median / (multiply_adds / rate)
    return Row(row.name, row.seconds, row.exactness, figures, row.case)


def _call(model: Callable[[Tensor], Tensor], image: Tensor, dtype: str) -> Call:
    return under_autocast(lambda: model(image), str(image.device), DTYPES[dtype])


def _peers(
    options: ModelOptions, pair: Pair, image: Tensor, dtype: str
) -> tuple[list[Candidate], dict[str, str]]:
    candidates: list[Candidate] = []
    left_out: dict[str, str] = {}
    if 'compiled' in options.peers:
        for name, model in ((STOCK, pair.stock), (OURS, pair.ours)):
            compiled = torch.compile(model)
            label = f'{name}, compiled{_suffix(dtype)}'
            candidates.append(Candidate(label, _call(compiled, image, dtype), may_fail=True))
    for peer, title in (('onnxruntime', 'ONNX Runtime'), ('openvino', 'OpenVINO')):
        if peer not in options.peers:
            continue
        reason = _why_not(peer, dtype, image)
        if reason is not None:
            left_out[title] = reason
            continue
        open_file = (
            exported.onnxruntime_call
            if peer == 'onnxruntime'
            else partial(exported.openvino_call, dtype=DTYPES[dtype])
        )
        for graph, write in _graphs(pair, image).items():
            label = f'{title}, {graph}{_suffix(dtype)}'
            reason = exported.missing(peer, exported.STOCK_NEEDS) if graph == _STOCK_GRAPH else None
            try:
                file = None if reason else write()
            except ArchitectureError as error:
                reason = str(error)
            if reason is not None:
                left_out[label] = reason
            elif file is not None:
                candidates.append(Candidate(label, open_file(file, image), may_fail=True))
    return candidates, left_out


_STOCK_GRAPH = 'stock graph'


def _graphs(pair: Pair, image: Tensor) -> dict[str, Callable[[], Path]]:
    """Return what writes the graphs that a runtime runs, by what they are called."""
    ours = partial(exported.export_ours, pair.ours, image, name=pair.name)
    graphs = {_STOCK_GRAPH: partial(exported.export_stock, pair.stock, image, name=pair.name)}
    if len(image) == 1:
        # A graph for one size is for one image.
        graphs[f'{OURS} graph'] = partial(ours, is_open=False)
    graphs[f'{OURS} graph for any size'] = partial(ours, is_open=True)
    return dict(graphs)


def _why_not(peer: str, dtype: str, image: Tensor) -> str | None:
    if image.device.type != 'cpu':
        return 'measured on the CPU only'
    if dtype == 'float16' or (peer == 'onnxruntime' and dtype != 'float32'):
        return f'no {dtype} on the CPU'
    return exported.missing(peer)
