"""Sets of texts that are kept as their hashes: about 16 to 32 bytes for each of millions."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator

_EMPTY = 0
_FIRST_SIZE = 1024


def hash_of(text: str) -> int:
    """Return 64 bits that tell a text from others, the same in every process; never 0.

    Of ten million texts two have the same in 3 of a million cases.
    """
    digest = hashlib.blake2b(text.encode('utf-8', 'backslashreplace'), digest_size=8).digest()
    return int.from_bytes(digest, 'little') or 1


class Hashes:
    """A set of hashes of texts: open addressing in an array that is at most half full."""

    def __init__(self) -> None:
        self._table = array('Q', bytes(8 * _FIRST_SIZE))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield the hashes, in no order."""
        return (value for value in self._table if value != _EMPTY)

    def __contains__(self, value: int) -> bool:
        return self._table[self._slot(value)] != _EMPTY

    def add(self, value: int) -> bool:
        """Add a hash of :func:`hash_of`, and return whether it is new."""
        slot = self._slot(value)
        if self._table[slot] != _EMPTY:
            return False
        self._table[slot] = value
        self._count += 1
        if 2 * self._count > len(self._table):
            self._grow()
        return True

    def _slot(self, value: int) -> int:
        table, mask = self._table, len(self._table) - 1
        slot = value & mask
        while table[slot] not in (_EMPTY, value):
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        before = self._table
        self._table = array('Q', bytes(16 * len(before)))
        for value in before:
            if value != _EMPTY:
                self._table[self._slot(value)] = value
