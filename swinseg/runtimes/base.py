"""What all runtimes have in common: what goes in and out of an exported file, and by which names."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from swinseg.errors import ExportedFileError
from swinseg_runtime import INPUT_NAME, Metadata, ModelFileError, Session

__all__ = [
    'INPUTS', 'INPUT_NAME', 'LOGITS_NAME', 'OUTPUTS', 'OUTPUT_NAMES', 'Input', 'Output', 'Runtime',
    'SessionRuntime', 'in_user_errors',
]  # fmt: skip

Input = Literal['tensor', 'image']
Output = Literal['labels', 'confidence', 'probabilities']
INPUTS: tuple[str, ...] = get_args(Input)
OUTPUTS: tuple[str, ...] = get_args(Output)

LOGITS_NAME = 'logits'
"""Of the scores inside the graph, by which they are found; they are no output of the file."""

OUTPUT_NAMES: dict[str, tuple[str, ...]] = {
    'labels': ('labels',),
    'confidence': ('labels', 'confidence'),
    'probabilities': ('probabilities',),
}


class Runtime(Protocol):
    """A written file that can be run; it is opened when something is first asked of it."""

    @property
    def name(self) -> str:
        """Its path, for messages."""

    @property
    def metadata(self) -> Metadata:
        """What the file says about itself."""

    @property
    def is_on_gpu(self) -> bool:
        """Whether it computes on something else than the processor."""

    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Return the outputs of the file for an input."""

    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the (B, K, h, w) scores inside the file for each of several inputs."""


class SessionRuntime(ABC):
    """A written file, opened by ``swinseg_runtime``.

    Args:
        path: of the file.
        device: as ``swinseg_runtime.open_session`` takes it, as are the others.
        threads: of one operation on the processor.
        providers: in the place of ``device``.
        dtype: that it computes in.

    Raises:
        ExportedFileError: later, when something is asked of it; as ``open_session``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        self.name = os.fspath(path)
        self._options: dict[str, Any] = {
            'device': device,
            'threads': threads,
            'providers': providers,
        }
        self._dtype = dtype

    @abstractmethod
    def _open_all(self) -> Session:
        """Open the file as it is."""

    @abstractmethod
    def _open_logits(self) -> Session:
        """Open it with the scores inside as its only output, so that nothing behind them is computed."""

    @property
    def metadata(self) -> Metadata:
        """What the file says about itself."""
        return self._for_logits.metadata

    @property
    def is_on_gpu(self) -> bool:
        """Whether it computes on something else than the processor."""
        return self._for_logits.is_on_gpu

    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Run the file as it is."""
        return list(self._for_all.run(given).values())

    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the (B, K, h, w) scores inside the file for each of several inputs."""
        found = (next(iter(self._for_logits.run(given).values())) for given in inputs)
        return [scores.astype(np.float32, copy=False) for scores in found]

    @cached_property
    def _for_all(self) -> Session:
        with in_user_errors():
            return self._open_all()

    @cached_property
    def _for_logits(self) -> Session:
        with in_user_errors():
            return self._open_logits()


@contextlib.contextmanager
def in_user_errors() -> Iterator[None]:
    """Raise what ``swinseg_runtime`` says of a file in the block as an error of this package.

    Raises:
        ExportedFileError: with the same sentence.
    """
    try:
        yield
    except ModelFileError as error:
        raise ExportedFileError(str(error)) from error
