"""Calling a predictor with as many windows at a time as memory allows.

Shapes: h, w = size of a window; K = classes; B = windows of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from swinseg.errors import SlideError, is_out_of_memory

Predictor = Callable[[Tensor], Tensor]


def default_budget(device: str | torch.device) -> int:
    """Return the bytes of the scores of one batch where nothing is said; a CPU gains nothing by large batches."""
    return 2**27 if torch.device(device).type == 'cpu' else 2**30


class WindowBatches:
    """The predictor, fed with as many windows at a time as memory allows.

    Args:
        predictor: from (B, channels, h, w) pixels to (B, K, h, w) scores.
        size: h, w.
        batch_size: windows at a time, or None for as many as fit the budget.
        memory_budget: bytes of a batch's scores; None for that of the device.
    """

    def __init__(
        self,
        predictor: Predictor,
        size: tuple[int, int],
        batch_size: int | None,
        memory_budget: int | None,
    ) -> None:
        self.predictor = predictor
        self.size = size
        self.batch_size = batch_size
        self.memory_budget = memory_budget

    def __call__(self, strip: Tensor, corners: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield the scores, (K, h, w), of the windows with these top left corners in ``strip``."""
        done = 0
        while done < len(corners):
            # How much a window's scores take is known after the first.
            batch = corners[done : done + (self.batch_size or 1)]
            scores = self._scores(strip, batch)
            if scores is None:
                self.batch_size = len(batch) // 2
                continue
            self._check(scores, len(batch))
            if self.batch_size is None:
                self.batch_size = self._affordable(scores)
            done += len(batch)
            views = list(scores.unbind(0))
            # Nothing here may hold the scores of a batch while the next one is computed.
            del scores
            while views:
                yield views.pop(0)

    def _scores(self, strip: Tensor, corners: Sequence[tuple[int, int]]) -> Tensor | None:
        """Return (B, K, h, w), or None where a smaller batch may fit the memory."""
        height, width = self.size
        try:
            with torch.no_grad():
                pixels = torch.stack([strip[:, y : y + height, x : x + width] for y, x in corners])
                if not pixels.is_floating_point():
                    pixels = pixels.float()
                return self.predictor(pixels).detach()
        except Exception as error:
            if len(corners) == 1 or not is_out_of_memory(error):
                raise
        return None

    def _affordable(self, scores: Tensor) -> int:
        budget = self.memory_budget
        if budget is None:
            budget = default_budget(scores.device)
        return max(1, budget // (scores[0].numel() * scores.element_size()))

    def _check(self, scores: Tensor, count: int) -> None:
        if scores.dim() != 4 or (scores.shape[0], *scores.shape[2:]) != (count, *self.size):
            raise SlideError(
                f'the predictor must return (batch, classes, height, width) = '
                f'({count}, K, {self.size[0]}, {self.size[1]}), but returned {tuple(scores.shape)}; '
                'resize its scores to its windows'
            )


Item = TypeVar('Item')


Result = TypeVar('Result')


def in_batches(
    compute: Callable[[Sequence[Item]], Sequence[Result]],
    items: Iterable[Item],
    *,
    key: Callable[[Item], Hashable],
    batch_size: int,
) -> Iterator[Result]:
    """Compute the results of items, neighbors with the same key together.

    When memory runs out, the batch is halved and tried again, and those that follow are as small.

    Args:
        compute: from up to ``batch_size`` items to as many results.
        items: taken when they are needed.
        key: what must be the same in a batch.
        batch_size: at least 1.

    Yields:
        The result of each item, in their order.
    """
    for _, alike in itertools.groupby(items, key):
        waiting: list[Item] = []
        while True:
            # The group is read on here, not again.
            waiting += itertools.islice(alike, max(0, batch_size - len(waiting)))  # noqa: B031
            if not waiting:
                break
            batch = waiting[:batch_size]
            try:
                results = list(compute(batch))
            except Exception as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                batch_size = len(batch) // 2
                continue
            del waiting[: len(batch)], batch
            # Nothing here may hold the results of a batch while the next one is computed.
            while results:
                yield results.pop(0)
