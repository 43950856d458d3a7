"""One export of one model: how exact the file is at many sizes, how large it is, and what making it took.

Run in a process of its own, ``python -m swinseg.benchmark.export_case``, which takes a :class:`Case` as JSON on
standard input and gives a :class:`Found` on standard output: a Swin-L takes gigabytes, which are free after it.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swinseg.benchmark.pairs import build_pair, config_of
from swinseg.errors import BenchmarkError, ExportError
from swinseg.exporting import export_model
from swinseg.exporting.checking import TOLERANCE
from swinseg.exporting.graph import Graph, reference_logits
from swinseg.exporting.targets import TARGETS, TargetName
from swinseg.inference.memory import resident_peak_bytes

NARROW = {'narrow 7': 7, 'narrow 12': 12}
"""Windows of a small model, by the name of the variant; its head is wide enough for all forms of a convolution."""

OPEN_SIZES = (
    (1, 512, 512), (1, 333, 517), (2, 97, 61), (3, 33, 150), (4, 64, 96), (1, 20, 17), (1, 3, 5),
)  # fmt: skip
"""Batch, height and width of what a graph for all sizes is run on: odd, smaller than a window, up to four."""


@dataclass(frozen=True)
class Case:
    """What is exported.

    Attributes:
        variant: of the model, or one of ``NARROW``.
        config: instead of the variant's config.
        target: kind of the file.
        size: height and width that the graph is for; None for a graph for any.
        threads: of PyTorch and of the runtime.
    """

    variant: str
    config: str | None
    target: TargetName
    size: tuple[int, int] | None
    threads: int

    @property
    def name(self) -> str:
        """What to call it."""
        return f'{self.variant}, {"any size" if self.size is None else " x ".join(map(str, self.size))}'

    @property
    def sizes(self) -> tuple[tuple[int, int, int], ...]:
        """What the file is run on."""
        return OPEN_SIZES if self.size is None else ((1, *self.size),)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        differences: for each size, the largest difference of logits from PyTorch's as a share of the largest
            logit, or of 1 where all are smaller.
        bytes: of the file and what belongs to it.
        nodes: operations of the graph.
        seconds: that the export took, with its own comparison.
        peak_bytes: by how much the process's memory rose above the loaded model meanwhile; None where the
            operating system does not tell.
        refused: why there is no file; None where there is one.
    """

    differences: dict[str, float] = dataclasses.field(default_factory=dict)
    bytes: int = 0
    nodes: int = 0
    seconds: float = 0.0
    peak_bytes: int | None = None
    refused: str | None = None

    @property
    def fell_short(self) -> list[str]:
        """What differs by more than a file may."""
        return [
            f'{size}: {share:.1e}' for size, share in self.differences.items() if share > TOLERANCE
        ]


def model_of(variant: str, config: str | None) -> Any:
    """Return swinseg's segmentor of a variant with random weights."""
    if config is None and variant in NARROW:
        cfg = config_of('T')
        window = NARROW[variant]
        narrow = dict(
            embed_dims=24, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], window_size=window
        )
        heads = dict(decode_head=dict(in_channels=[24, 48, 96, 192], channels=64))
        cfg.merge_from_dict(
            dict(model=dict(backbone=narrow, auxiliary_head=dict(in_channels=96), **heads))
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, 'narrow.py')
            cfg.dump(file)
            return build_pair(variant, str(file)).ours
    return build_pair(variant, config).ours


def measure(case: Case) -> Found:
    """Export, and compare the file with the model at each size."""
    model = model_of(case.variant, case.config)
    target = TARGETS[case.target]
    classes = [f'class {i}' for i in range(model.num_classes)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'model{target.suffix}')
        made: list[Any] = []

        def make() -> None:
            made.append(export_model(model, path, to=case.target, size=case.size, classes=classes))

        started = time.perf_counter()
        try:
            peak = resident_peak_bytes(make)
        except ExportError as error:
            return Found(seconds=time.perf_counter() - started, refused=str(error))
        (exported,) = made
        graph = Graph(model, input='tensor', output='labels').eval()
        runtime = target.runtime(path, device='cpu', threads=case.threads)
        differences = {}
        for seed, size in enumerate(case.sizes, 11):
            given = graph.example(*size, seed=seed)
            with torch.no_grad():
                expected = reference_logits(model, given)
            (found,) = runtime.logits([given.numpy()])
            largest = max(1.0, float(expected.abs().max()))
            difference = float((torch.from_numpy(found) - expected).abs().max())
            differences[' x '.join(map(str, size))] = difference / largest
        return Found(
            differences=differences,
            bytes=exported.size_in_bytes,
            nodes=exported.nodes,
            seconds=exported.seconds,
            peak_bytes=peak,
        )


def measure_apart(case: Case) -> Found:
    """Do as :func:`measure` in a process of its own.

    Raises:
        BenchmarkError: the process ended without a result.
    """
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'swinseg.benchmark.export_case'],
        input=json.dumps(dataclasses.asdict(case)),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1][:300]
        raise BenchmarkError(
            f'the export of {case.name} to {case.target} ended without a result: {reason}; where memory is short, '
            'take smaller --variants'
        )
    return Found(**json.loads(lines[-1]))


def main() -> None:
    """Read a case, measure it, and print what was found."""
    entries = json.load(sys.stdin)
    size = entries.pop('size')
    case = Case(**entries, size=None if size is None else (size[0], size[1]))
    torch.set_num_threads(case.threads)
    print(json.dumps(dataclasses.asdict(measure(case))))


if __name__ == '__main__':
    main()
