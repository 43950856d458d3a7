"""Entries of annotation files that cannot be used: collected, and told all at once or left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from swinseg.errors import DataError, PrepareError

_MOST_LISTED = 100

Result = TypeVar('Result')


class OddEntries:
    """Shapes, annotations and images that are not as they should be.

    Args:
        skip: leave them out; otherwise :meth:`check` refuses them.

    Attributes:
        count: how many there are.
        sentences: what is wrong with the first hundred.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self.count = 0
        self.sentences: list[str] = []

    def attempt(self, function: Callable[[], Result]) -> Result | None:
        """Return what ``function`` does, or None where it finds an entry that cannot be used."""
        try:
            return function()
        except DataError as error:
            self.count += 1
            if len(self.sentences) < _MOST_LISTED:
                self.sentences.append(str(error))
            return None

    def check(self) -> None:
        """Refuse what was found, unless it is left out.

        Raises:
            PrepareError: something was found; it lists everything.
        """
        if not self.count or self.skip:
            return
        if self.count == 1:
            raise PrepareError(f'{self.sentences[0]}; --skip-odd leaves it out')
        raise PrepareError(
            f'{self.count} entries cannot be used; mend them, or leave them out by --skip-odd:\n'
            + self.listed()
        )

    def listed(self) -> str:
        """Return what was found, a line for each."""
        more = self.count - len(self.sentences)
        return '\n'.join(
            [f'  {sentence}' for sentence in self.sentences]
            + ([f'  and {more} more'] if more else [])
        )
