"""One training step: forward, loss, backward, AdamW; its time, and its memory besides the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from swinseg.benchmark.exactness import of_tensors
from swinseg.benchmark.options import DTYPES, Options
from swinseg.benchmark.pairs import OURS, STOCK, build_pair, config_of, draw_image, names_of
from swinseg.benchmark.peak_memory import peak_bytes
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Candidate, compare, under_autocast
from swinseg.errors import BenchmarkError
from swinseg.inference.memory import resident_peak_bytes

PEAK = 'peak (MiB)'


@dataclass(frozen=True)
class TrainOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model.
        config: instead of the variants' configs.
        sizes: sides of the crops that are timed, in pixels.
        memory_sizes: sides of the crops whose peak memory is measured.
        batch_size: crops at a time.
        dtypes: float32, or autocast to another one.
        checkpointing: recompute the backbone's activations in the backward pass, in both models.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    sizes: tuple[int, ...] = (256,)
    memory_sizes: tuple[int, ...] = (512,)
    batch_size: int = 2
    dtypes: tuple[str, ...] = ('float32', 'bfloat16')
    checkpointing: bool = False

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        if self.batch_size < 2:
            # Batch norm over the 1 x 1 map of the pyramid pooling needs two values.
            raise BenchmarkError(
                f'--batch-size must be at least 2 in training, found {self.batch_size}'
            )
        if 'float16' in self.dtypes:
            raise BenchmarkError(
                'a training step in float16 needs scaled losses, which this suite does not measure; '
                'use --dtypes bfloat16'
            )


def run(options: TrainOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    for variant in names_of(options.variants, options.config):
        yield _timed(options, variant)
        yield _memory(options, variant)


def _title(options: TrainOptions, variant: str, what: str) -> str:
    checkpointing = ', checkpointing' if options.checkpointing else ''
    return f'{what}, {variant}, batch {options.batch_size}{checkpointing}'


def _timed(options: TrainOptions, variant: str) -> Table:
    rows: list[Row] = []
    for side in options.sizes:
        reference = reference_step(options, variant, side)
        for dtype in options.dtypes:
            stock, ours = build_steps(options, variant, side, dtype)
            case = f'{side} x {side}, {dtype}'
            rows += compare_steps(stock, ours, options, case=case, reference=reference)
    return Table(
        _title(options, variant, 'Training step'),
        tuple(rows),
        baseline=STOCK,
        ours=OURS,
        notes=(
            'Loss and gradients of the first step are compared with those of stock mmseg in float32.',
        ),
    )


def compare_steps(
    stock: Step,
    ours: Step,
    options: Options,
    *,
    case: str,
    reference: list[Tensor],
    warm_ups: int = 0,
) -> list[Row]:
    """Measure two steps in turn.

    Args:
        stock: mmseg's.
        ours: of the same weights and batch.
        options: device and rounds.
        case: of the rows.
        reference: what both are compared with.
        warm_ups: further calls of each before the timing.
    """
    rows, _ = compare(
        [Candidate(STOCK, stock.run), Candidate(OURS, ours.run)],
        of_tensors,
        rounds=options.rounds,
        device=options.device,
        case=case,
        reference=reference,
        warm_ups=warm_ups,
    )
    return rows


def _memory(options: TrainOptions, variant: str) -> Table:
    rows: list[Row] = []
    for side in options.memory_sizes:
        reference: list[Tensor] | None = None
        for dtype in options.dtypes:
            case = f'{side} x {side}, {dtype}'
            stock, ours = build_steps(options, variant, side, dtype)
            first = stock.run()
            if reference is None:
                is_full = dtype == 'float32'
                reference = first if is_full else reference_step(options, variant, side)
            exactness = [of_tensors(reference, first), of_tensors(reference, ours.run())]
            del first
            # The first step made gradients and optimizer state, which now stay.
            peaks = [peak_bytes(step.run, device=options.device) for step in (stock, ours)]
            residents = [_resident(options, step) for step in (stock, ours)]
            for index, name in enumerate((STOCK, OURS)):
                figures = {PEAK: peaks[index] / 2**20, 'of stock': peaks[index] / peaks[0]}
                if residents[index] and residents[0]:
                    figures['resident (MiB)'] = residents[index] / 2**20
                    figures['of stock, resident'] = residents[index] / residents[0]
                rows.append(Row(name, exactness=exactness[index], figures=figures, case=case))
    return Table(
        _title(options, variant, 'Peak memory of a training step'),
        tuple(rows),
        notes=(
            'Peak: live bytes of all tensors above weights, gradients and optimizer state, which stay.',
            'Resident: by how much the memory of the process rises, with what kernels allocate for themselves.',
            'Loss and gradients of the first step are compared with those of stock mmseg in float32.',
        ),
    )


def _resident(options: TrainOptions, step: Step) -> int:
    return 0 if options.device != 'cpu' else resident_peak_bytes(step.run) or 0


class Step:
    """A model with its optimizer, on one batch.

    Args:
        model: a segmentor; its weights change with each step.
        optim_wrapper: settings as in a config.
        batch: (B, 3, H, W) images and their samples.
        dtype: float32, or what autocast casts to in the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        optim_wrapper: Any,
        batch: tuple[Tensor, list[SegDataSample]],
        dtype: torch.dtype,
    ) -> None:
        self.model: Any = model.train()
        settings = {**optim_wrapper, 'type': 'OptimWrapper'}
        settings.pop('dtype', None)
        with DefaultScope.overwrite_default_scope('mmseg'):
            logging.disable(logging.INFO)  # mmengine logs three lines for each parameter
            try:
                self.optimizer = build_optim_wrapper(self.model, settings).optimizer
            finally:
                logging.disable(logging.NOTSET)
        images, samples = batch
        self.forward = under_autocast(
            lambda: self.model.loss(images, samples), str(images.device), dtype
        )

    def run(self) -> list[Tensor]:
        """Take a step; return the loss and, of the first step, copies of the gradients on the CPU."""
        first = not self.optimizer.state
        # Gradients stay allocated, so that they count as what is there between steps.
        self.optimizer.zero_grad(set_to_none=False)
        losses = self.forward()
        loss = torch.stack([value for name, value in losses.items() if 'loss' in name]).sum()
        loss.backward()
        results = [loss.detach().cpu()]
        if first:
            results += [
                parameter.grad.cpu().clone()
                for parameter in self.model.parameters()
                if parameter.grad is not None
            ]
        self.optimizer.step()
        return results


def reference_step(options: TrainOptions, variant: str, side: int) -> list[Tensor]:
    """Loss and gradients of stock mmseg in float32."""
    return build_steps(options, variant, side, 'float32')[0].run()


def build_steps(options: TrainOptions, variant: str, side: int, dtype: str) -> tuple[Step, Step]:
    pair = build_pair(
        variant, options.config, device=options.device, checkpointing=options.checkpointing
    )
    config = config_of(variant, options.config)
    batch = _batch(options, side, num_classes=config.model.decode_head.num_classes)
    stock, ours = (
        Step(model, config.optim_wrapper, batch, DTYPES[dtype]) for model in (pair.stock, pair.ours)
    )
    return stock, ours


def _batch(
    options: TrainOptions, side: int, *, num_classes: int
) -> tuple[Tensor, list[SegDataSample]]:
    generator = torch.Generator().manual_seed(2)
    samples = []
    for _ in range(options.batch_size):
        label = torch.randint(num_classes, (1, side, side), generator=generator)
        label[:, :, : side // 16] = 255
        meta = dict(img_shape=(side, side), ori_shape=(side, side), pad_shape=(side, side))
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=label.to(options.device))
        samples.append(sample)
    return draw_image(options.batch_size, 3, side, side, device=options.device), samples
