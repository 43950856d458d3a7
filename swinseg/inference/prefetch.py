"""Reading ahead of a computation and writing behind it, each in a thread of its own.

Errors of a thread are raised where its result is waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar

Result = TypeVar('Result')
Worker = TypeVar('Worker', bound='_Worker')


class _Worker:
    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise ValueError(f'depth must be 1 or more, but is {depth}')
        self._depth = depth
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[Any]] = deque()

    def __enter__(self: Worker) -> Worker:
        return self

    def _stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()


class ReadAhead(_Worker, Generic[Result]):
    """A function whose next results are computed while the present one is used; a context.

    Args:
        function: say the ``read`` of an image.
        calls: the arguments of the calls that will be made, in order.
        depth: results that wait at most.
    """

    def __init__(
        self, function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], *, depth: int = 1
    ) -> None:
        super().__init__(depth)
        self._function = function
        self._calls = iter(calls)
        self._expected: deque[tuple[Any, ...]] = deque()
        self._fill()

    def _fill(self) -> None:
        while len(self._pending) < self._depth:
            call = next(self._calls, None)
            if call is None:
                return
            self._expected.append(call)
            self._pending.append(self._pool.submit(self._function, *call))

    def __call__(self, *arguments: Any) -> Result:
        """Return the function's result for the next arguments.

        Raises:
            ValueError: they are not the ones announced.
        """
        if not self._expected or self._expected[0] != arguments:
            announced = self._expected[0] if self._expected else 'no call'
            raise ValueError(f'the next call was announced as {announced}, but is {arguments}')
        self._expected.popleft()
        result: Result = self._pending.popleft().result()
        self._fill()
        return result

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()


class WriteBehind(_Worker):
    """A function that is called later, in order, by a thread; a context that ends when all calls are done.

    After a call that failed no later one is made. Where the context itself fails, the calls that were accepted
    are still made, so that what was computed is kept.

    Args:
        function: say the ``write_rows`` of a writer. What it is given must not change afterwards.
        depth: calls that wait at most; a further one waits for room.
    """

    def __init__(self, function: Callable[..., object], *, depth: int = 2) -> None:
        super().__init__(depth)
        self._function = function
        self._failed = False

    def __call__(self, *arguments: Any) -> None:
        """Accept a call, and raise the error of an earlier one."""
        while self._pending and (self._pending[0].done() or len(self._pending) >= self._depth):
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._run, arguments))

    def _run(self, arguments: tuple[Any, ...]) -> None:
        if self._failed:
            return
        try:
            self._function(*arguments)
        except BaseException:
            self._failed = True
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for pending in self._pending:
                failure = pending.exception()
                if failure is not None and kind is None:
                    raise failure
        finally:
            self._stop()
