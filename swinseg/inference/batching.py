"""Computing things several at a time that are alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from swinseg.errors import is_out_of_memory

Item = TypeVar('Item')
Result = TypeVar('Result')


def in_batches(
    compute: Callable[[Sequence[Item]], Sequence[Result]],
    items: Iterable[Item],
    *,
    key: Callable[[Item], Hashable],
    batch_size: int,
) -> Iterator[Result]:
    """Compute the results of items, neighbours with the same key together.

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
