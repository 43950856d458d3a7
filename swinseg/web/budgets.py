"""Budgets of what is held at a time: bytes of the files that arrive, and pixels that wait for the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager


class PixelBudget:
    """Shares of a number of pixels, for those that wait in the order in which they came.

    Args:
        most: of all shares together.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def share(self, pixels: int) -> AsyncIterator[PixelShare]:
        """Wait for a share, and have it until the end of the context."""
        await self._take(pixels)
        share = PixelShare(self, pixels)
        try:
            yield share
        finally:
            share.shrink(0)

    async def _take(self, pixels: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pixels, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # It had its turn in the same moment.
                self._free += pixels
            self._serve()  # Those behind it may have theirs.
            raise

    def give_back(self, pixels: int) -> None:
        """Let others have pixels of a share."""
        self._free += pixels
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            pixels, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif pixels <= self._free:
                self._waiting.popleft()
                self._free -= pixels
                turn.set_result(None)
            else:
                return


class PixelShare:
    """A share of a budget.

    Args:
        budget: that it is of.
        pixels: that it has.
    """

    def __init__(self, budget: PixelBudget, pixels: int) -> None:
        self._budget = budget
        self._pixels = pixels

    def shrink(self, pixels: int) -> None:
        """Keep only so many."""
        surplus, self._pixels = self._pixels - pixels, pixels
        self._budget.give_back(surplus)


class UploadBudget:
    """Bytes of the files that are held; where they would become too many, the file that arrives longest gives way.

    So who sends slowly keeps nobody out, however often.

    Args:
        most: bytes of all files together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._arriving: dict[HeldUpload, Callable[[], object]] = {}

    @contextmanager
    def hold(self) -> Iterator[HeldUpload]:
        """Have a file, without bytes at first, until the end of the context."""
        upload = HeldUpload(self)
        try:
            yield upload
        finally:
            self._let_go(upload)

    def _start(self, upload: HeldUpload, give_way: Callable[[], object]) -> None:
        self._arriving[upload] = give_way

    def _arrived(self, upload: HeldUpload) -> None:
        self._arriving.pop(upload, None)

    def _add(self, upload: HeldUpload, count: int) -> None:
        while self._total + count > self._most and self._arriving:
            oldest = next(iter(self._arriving))
            give_way = self._arriving[oldest]
            self._let_go(oldest)
            give_way()
        if upload in self._arriving:
            self._total += count
            upload.bytes += count

    def _let_go(self, upload: HeldUpload) -> None:
        self._arriving.pop(upload, None)
        self._total -= upload.bytes
        upload.bytes = 0


class HeldUpload:
    """A file in a budget; ``bytes`` are those that it has."""

    def __init__(self, budget: UploadBudget) -> None:
        self._budget = budget
        self.bytes = 0

    def start(self, give_way: Callable[[], object]) -> None:
        """Note that the file begins to arrive; ``give_way`` is called when it must not go on."""
        self._budget._start(self, give_way)

    def add(self, count: int) -> None:
        """Note bytes that are about to be kept."""
        self._budget._add(self, count)

    def arrived(self) -> None:
        """Note that the file is there, and does not give way any more."""
        self._budget._arrived(self)

    def decoded(self) -> None:
        """Note that the bytes are not held any more."""
        self._budget._let_go(self)
