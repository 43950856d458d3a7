"""Keys of dicts and members of sets in a pickle, looked at without unpickling it.

A tuple of two references to a tuple of two references, and so on sixty times, is a few hundred bytes. As the key
of a dict it is hashed, which walks all of it and never ends; nothing can interrupt that. So the instructions of a
pickle are followed here with the number of values that each object holds in place of the object.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

# A key that any library writes: names, numbers, now and then a tuple of a few.
_MOST_IN_KEY = 1_000_000
# So that the counts themselves stay small numbers.
_MANY = 1 << 40

_LOADS_MEMO = ('GET', 'BINGET', 'LONG_BINGET')
_STORES_MEMO = ('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE')
_ADDS = ('APPEND', 'APPENDS', 'ADDITEMS', 'SETITEM', 'SETITEMS')
# Which operands become keys; a call may hash its arguments, as that of set() does.
_KEYS_OF = {
    'SETITEM': slice(0, None, 2),
    'SETITEMS': slice(0, None, 2),
    'DICT': slice(0, None, 2),
    **dict.fromkeys(('ADDITEMS', 'FROZENSET', 'REDUCE', 'INST', 'OBJ', 'NEWOBJ'), slice(None)),
}

# How many values each takes from the stack; None where it takes all behind a mark.
_TAKES = {
    instruction.name: None
    if pickletools.markobject in instruction.stack_before
    else len(instruction.stack_before) - (instruction.name in _ADDS)
    for instruction in pickletools.opcodes
}


class _Count(list[int]):
    """How many values an object holds, itself included: a list of one number, which grows wherever it stands."""


_MARK = _Count([0])


def has_endless_key(file: IO[bytes]) -> bool:
    """Whether a pickle has a key, or a member of a set, that takes too long to hash.

    Args:
        file: at the beginning of a pickle; afterwards behind it.

    Raises:
        ValueError, IndexError, KeyError: it is no whole pickle.
    """
    stack: list[_Count] = []
    memo: dict[int, _Count] = {}
    argument: Any
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name == 'MARK':
            stack.append(_MARK)
        elif name in _LOADS_MEMO:
            stack.append(memo[int(argument)])
        elif name in _STORES_MEMO:
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name == 'DUP':
            stack.append(stack[-1])
        else:
            operands = _operands(stack, name)
            if any(key[0] > _MOST_IN_KEY for key in operands[_KEYS_OF.get(name, slice(0))]):
                return True
            if name in _ADDS:
                stack[-1][0] = _sum([stack[-1], *operands])
            else:
                stack.extend(_Count([1 + _sum(operands)]) for _ in instruction.stack_after)
    return False


def _operands(stack: list[_Count], name: str) -> list[_Count]:
    """Take what an instruction takes from the stack; a container that it adds to stays there."""
    count = _TAKES[name]
    if count is None:
        position = len(stack) - 1
        while stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError('an instruction needs a mark')
        operands = stack[position + 1 :]
        del stack[position:]
        return operands
    operands = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return operands


def _sum(counts: list[_Count]) -> int:
    return min(sum(count[0] for count in counts), _MANY)
