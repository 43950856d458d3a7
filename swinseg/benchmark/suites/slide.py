"""A large image in overlapping windows: time and peak memory, to the label map."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample
from torch import Tensor

from swinseg.benchmark.exactness import of_first_window, of_labels
from swinseg.benchmark.options import Options, check_windows
from swinseg.benchmark.pairs import (
    OURS,
    PREPARED,
    STOCK,
    Pair,
    build_pair,
    draw_image,
    names_of,
)
from swinseg.benchmark.peak_memory import WHOLE_PEAK_NOTE, peak_bytes, whole_peak_bytes
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Candidate, compare
from swinseg.inference import slide
from swinseg.models.prepare import prepare_for_inference


@dataclass(frozen=True)
class SlideOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model.
        config: instead of the variants' configs.
        image_size: height and width of the image in pixels.
        window: side of a window in pixels.
        stride: distance of neighboring windows in pixels.
        alone: whether only swinseg is measured, once, on an image of bytes: for sizes that mmseg cannot.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    image_size: tuple[int, ...] = (896, 896)
    window: int = 512
    stride: int = 384
    alone: bool = False

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        check_windows(self.image_size, self.window, self.stride)


def run(options: SlideOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    for variant in names_of(options.variants, options.config):
        if options.alone:
            yield _alone(options, variant)
            continue
        pair = build_pair(variant, options.config, device=options.device)
        height, width = options.image_size
        image = draw_image(1, 3, height, width, device=options.device)
        ways = _ways(options, pair, image)
        yield Table(
            f'{variant}, image of {height} x {width} pixels, windows of {options.window} every {options.stride}',
            tuple(_measure(options, ways)),
            baseline=STOCK,
            ours=PREPARED,
            notes=('Peak: live bytes of all tensors above the weights and the image.',),
        )


def _alone(options: SlideOptions, variant: str) -> Table:
    """Measure one run of swinseg, prepared, from bytes in memory to labels in memory."""
    model = prepare_for_inference(build_pair(variant, options.config, device=options.device).ours)
    height, width = options.image_size
    results: list[tuple[float, Tensor, Tensor]] = []

    def predict(pixels: Tensor) -> Tensor:
        # Bytes become about as large as normalized pixels are.
        inputs = pixels.to(options.device) / 64 - 2
        return model.encode_decode(inputs, [dict(img_shape=pixels.shape[2:])] * len(pixels))

    def call() -> None:
        generator = torch.Generator().manual_seed(1)
        image = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
        labels = torch.empty(height, width, dtype=torch.uint8)
        began = time.perf_counter()
        for top, rows in slide(
            predict,
            image,
            window=options.window,
            stride=options.stride,
            reduce=lambda scores: scores.argmax(0).to(torch.uint8),
        ):
            labels[top : top + len(rows)] = rows
        results.append((time.perf_counter() - began, image, labels))

    with torch.no_grad():
        # What the first call sets up, once for all, belongs to the model.
        predict(torch.zeros(1, 3, options.window, options.window))
    peak = whole_peak_bytes(call, device=options.device)
    seconds, image, labels = results[0]
    window = image[None, :, : options.window, : options.window].float()
    with torch.no_grad():
        first = predict(window)[0]
    return Table(
        f'{variant}, image of {height} x {width} pixels, windows of {options.window} every {options.stride}',
        (
            Row(
                PREPARED,
                (seconds,),
                of_first_window(first, labels, shape=(height, width), stride=options.stride),
                {} if peak is None else {'peak (MiB)': peak / 2**20},
            ),
        ),
        notes=(
            WHOLE_PEAK_NOTE,
            'The peak has the image in bytes and the labels, too. Labels are compared with those of one window '
            'alone, where no other reaches.',
        ),
    )


def _ways(options: SlideOptions, pair: Pair, image: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return the functions from the image to its labels, mmseg's first."""
    test_cfg = ConfigDict(
        mode='slide',
        crop_size=(options.window, options.window),
        stride=(options.stride, options.stride),
    )
    models = {
        STOCK: pair.stock,
        OURS: pair.ours,
        PREPARED: prepare_for_inference(pair.ours),
    }
    for model in models.values():
        model.test_cfg = test_cfg
    return {name: labels_call(model, image) for name, model in models.items()}


def labels_call(model: Any, image: Tensor) -> Callable[[], Tensor]:
    size = tuple(image.shape[2:])

    def call() -> Tensor:
        # mmseg writes into the metas, so each call has its own.
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0, 0, 0, 0])
        with torch.no_grad():
            (sample,) = model.predict(image, [SegDataSample(metainfo=meta)])
        return sample.pred_sem_seg.data

    return call


def _measure(options: SlideOptions, ways: Mapping[str, Callable[[], Tensor]]) -> list[Row]:
    rows, _ = compare(
        [Candidate(name, call) for name, call in ways.items()],
        of_labels,
        rounds=options.rounds,
        device=options.device,
    )
    peaks = {name: peak_bytes(call, device=options.device) for name, call in ways.items()}
    return [
        Row(
            row.name,
            row.seconds,
            row.exactness,
            {
                'peak (MiB)': peaks[row.name] / 2**20,
                'peak of stock': peaks[row.name] / peaks[STOCK],
            },
        )
        for row in rows
    ]
