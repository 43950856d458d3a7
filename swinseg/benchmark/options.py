"""The arguments of the suites: which there are, their defaults, and what is wrong with bad ones."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch

from swinseg.benchmark.timing import Rounds
from swinseg.errors import BenchmarkError

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
PRECISIONS = {
    'float32': torch.float32,
    'tf32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}
"""On a GPU, where products of float32 may be computed with fewer digits."""


@dataclass(frozen=True)
class Options:
    """What every suite takes.

    Attributes:
        device: where the models are; ``'cpu'`` or ``'cuda'``.
        threads: of PyTorch and of the exported peers; None takes PyTorch's.
        repeats: rounds at most.
        seconds: for the rounds of one case; two are always run.
        load: processes that compute beside it all the while, each on one core.
    """

    QUICK: ClassVar[Mapping[str, Any]] = {}
    """What ``--quick`` puts in the place of the defaults, where a suite has it."""

    device: str = 'cpu'
    threads: int | None = None
    repeats: int = 7
    seconds: float = 30.0
    load: int = 0

    @property
    def rounds(self) -> Rounds:
        """How often to time."""
        return Rounds(most=self.repeats, seconds=self.seconds)

    def check(self) -> None:
        """Refuse values that cannot be measured.

        Raises:
            BenchmarkError: names the argument.
        """
        if self.repeats < 1:
            raise BenchmarkError(f'--repeats must be at least 1, found {self.repeats}')
        if self.seconds < 0:
            raise BenchmarkError(f'--seconds must not be negative, found {self.seconds}')
        if self.load < 0:
            raise BenchmarkError(f'--load must not be negative, found {self.load}')
        if self.threads is not None and self.threads < 1:
            raise BenchmarkError(f'--threads must be at least 1, found {self.threads}')
        try:
            kind = torch.device(self.device).type
        except RuntimeError:
            kind = self.device
        if kind not in ('cpu', 'cuda'):
            raise BenchmarkError(f'--device must be cpu or cuda, found {self.device!r}')
        if kind == 'cuda' and not torch.cuda.is_available():
            raise BenchmarkError(
                '--device cuda needs a GPU that PyTorch can use, and none was found; use --device cpu'
            )
        for name, values in asdict(self).items():
            if isinstance(values, tuple):
                _check_list(name, values)


_COUNTS = ('batch_sizes', 'train_batch_sizes')


def _check_list(name: str, values: tuple[Any, ...]) -> None:
    flag = f'--{name.replace("_", "-")}'
    if not values and name != 'peers':
        raise BenchmarkError(f'{flag} needs at least one value, found none')
    for value in values:
        if name not in _COUNTS and isinstance(value, int) and value < 32:
            raise BenchmarkError(f'{flag} takes sides in pixels of at least 32, found {value}')
        if name == 'sizes' and values.count(value) > 1:
            raise BenchmarkError(f'{flag} takes each size once, found {value} again')
        if name in _COUNTS and value < 1:
            raise BenchmarkError(f'{flag} takes numbers of at least 1, found {value}')
        if name == 'precisions' and value not in PRECISIONS:
            raise BenchmarkError(f'{flag} takes {", ".join(PRECISIONS)}, found {value!r}')
        if name == 'dtypes' and value not in DTYPES:
            raise BenchmarkError(f'--dtypes takes {", ".join(DTYPES)}, found {value!r}')


def check_windows(image_size: tuple[int, ...], window: int, stride: int) -> None:
    """Refuse an image or windows over it that cannot be measured.

    Raises:
        BenchmarkError: names the argument.
    """
    if len(image_size) != 2:
        raise BenchmarkError(
            f'--image-size takes height and width, found {len(image_size)} numbers'
        )
    if not 0 < stride <= window:
        raise BenchmarkError(f'--stride must be from 1 to the window, {window}, found {stride}')


_Options = TypeVar('_Options', bound=Options)


def make_options(kind: type[_Options], suite: str, given: Mapping[str, Any]) -> _Options:
    """Build the options of a suite from what the user gave, and check them.

    Args:
        kind: the suite's dataclass.
        suite: its name, for the message.
        given: values by field; None stands for the default.

    Raises:
        BenchmarkError: the suite does not take one of them, or a value is out of range.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    if values.get('quick'):
        values = {**kind.QUICK, **values}
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            flags = ', '.join(f'--{field.replace("_", "-")}' for field in near or known)
            raise BenchmarkError(
                f'the suite {suite} takes no --{name.replace("_", "-")}; it takes {flags}'
            )
    options = kind(**values)
    options.check()
    return options
