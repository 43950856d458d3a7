"""From the values in a label file to class indices: pure functions on tables and arrays.

Everything is a lookup table: entry ``v`` says what becomes of raw value ``v``. mmseg's order holds: first
the zero label is reduced, then the label map is applied to what that gave.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

IGNORE_INDEX = 255
REJECTED = -1
"""What a table holds for a raw value that must not occur."""

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

Unlisted = Literal['keep', 'ignore', 'reject']
"""What becomes of a value that a label map does not name."""


def reduce_zero_table(size: int, *, ignore_index: int = IGNORE_INDEX) -> npt.NDArray[np.int32]:
    """Return the table that makes 0 the ignored label and moves every other value down by one.

    ``ignore_index`` itself stays. For 8-bit labels and 255 this is mmseg's ``reduce_zero_label``.

    Args:
        size: number of raw values, 256 or 65536.
        ignore_index: the ignored label.

    Returns:
        (size,) int32.
    """
    table = np.arange(-1, size - 1, dtype=np.int32)
    table[0] = ignore_index
    if 0 <= ignore_index < size:
        table[ignore_index] = ignore_index
    return table


def label_table(
    label_map: Mapping[int, int] | None,
    *,
    size: int,
    reduce_zero_label: bool = False,
    unlisted: Unlisted = 'keep',
    ignore_index: int = IGNORE_INDEX,
) -> npt.NDArray[np.int32]:
    """Return the table from raw values to class indices.

    Args:
        label_map: value -> class index, or None; with ``reduce_zero_label`` its keys are reduced values.
        size: number of raw values, 256 or 65536.
        reduce_zero_label: reduce the zero label first.
        unlisted: what becomes of values that the map does not name: ``'keep'`` them (mmseg's rule),
            ``'ignore'`` them, or ``'reject'`` them (-1 in the table). ``ignore_index`` is kept in any case.
        ignore_index: the ignored label.

    Returns:
        (size,) int32; -1 where the value is rejected.

    Raises:
        ValueError: ``unlisted`` is none of the three words, or a key of the map is no raw value.
    """
    if unlisted not in get_args(Unlisted):
        raise ValueError(f'unlisted must be one of {get_args(Unlisted)}, not {unlisted!r}')
    if reduce_zero_label:
        first = reduce_zero_table(size, ignore_index=ignore_index)
    else:
        first = np.arange(size, dtype=np.int32)
    if label_map is None:
        return first
    if unlisted == 'keep':
        second = np.arange(size, dtype=np.int32)
    else:
        second = np.full(size, ignore_index if unlisted == 'ignore' else REJECTED, dtype=np.int32)
        if 0 <= ignore_index < size:
            second[ignore_index] = ignore_index
    for value, index in label_map.items():
        if not 0 <= value < 65536:
            raise ValueError(f'a label map names raw values 0 to 65535, not {value}')
        if value < size:
            second[value] = index
    return second[first]


def allowed_outputs(
    table: npt.NDArray[np.int32], *, num_classes: int | None, ignore_index: int = IGNORE_INDEX
) -> npt.NDArray[np.bool_]:
    """Say for each raw value whether what the table makes of it may be trained on.

    Args:
        table: (size,) int32, from :func:`label_table`.
        num_classes: class indices are 0 to ``num_classes - 1``; None allows all that fits 8 bits.
        ignore_index: allowed as well.

    Returns:
        (size,) bool.
    """
    upper = 256 if num_classes is None else num_classes
    return ((table >= 0) & (table < upper)) | ((table == ignore_index) & (table >= 0))


@dataclass(frozen=True)
class LabelRule:
    """What a dataset says that the raw values of a label mean.

    Attributes:
        num_classes: class indices are 0 to ``num_classes - 1``; None allows all that fits 8 bits.
        ignore_index: of pixels that do not count.
        reduce_zero_label: the zero label is reduced first.
        label_map: (raw value, class index) pairs, or None.
        unlisted: what becomes of values that the map does not name.
        colors: of the classes, where those of the files and not the values say the class; None for values.
        ignore_colors: colors of pixels that do not count.
        instance_divisor: raw values from it on are class * divisor + number of the object; None where none are.
    """

    num_classes: int | None = None
    ignore_index: int = IGNORE_INDEX
    reduce_zero_label: bool = False
    label_map: tuple[tuple[int, int], ...] | None = None
    unlisted: Unlisted = 'keep'
    colors: tuple[Color, ...] | None = None
    ignore_colors: tuple[Color, ...] = ()
    instance_divisor: int | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> LabelRule:
        """Return the rule in a dataset's data of one item; what it does not say is as in mmseg."""
        label_map = info.get('label_map')
        return cls(
            num_classes=info.get('num_classes'),
            ignore_index=info.get('ignore_index', IGNORE_INDEX),
            reduce_zero_label=bool(info.get('reduce_zero_label', False)),
            label_map=None if label_map is None else tuple(label_map.items()),
            unlisted=info.get('unlisted_labels', 'keep'),
            colors=info.get('label_colors'),
            ignore_colors=info.get('ignore_colors', ()),
            instance_divisor=info.get('instance_divisor'),
        )


@functools.lru_cache(maxsize=16)
def rule_tables(rule: LabelRule, size: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the table of :func:`label_table` for a rule, and which raw values :func:`allowed_outputs` allows.

    Args:
        rule: the rule.
        size: number of raw values, 256 or 65536.

    Returns:
        (size,) int32 and (size,) bool; not to be changed, for the next caller gets them too.
    """
    table = label_table(
        None if rule.label_map is None else dict(rule.label_map),
        size=size,
        reduce_zero_label=rule.reduce_zero_label,
        unlisted=rule.unlisted,
        ignore_index=rule.ignore_index,
    )
    if rule.instance_divisor is not None:
        values = np.arange(size)
        is_object = values >= rule.instance_divisor
        table = table[np.where(is_object, values // rule.instance_divisor, values)]
    allowed = allowed_outputs(table, num_classes=rule.num_classes, ignore_index=rule.ignore_index)
    return table, allowed


def apply_table(
    label: npt.NDArray[np.uint8 | np.uint16], table: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint8]:
    """Look every pixel up.

    Args:
        label: (H, W) uint8 or uint16.
        table: (256,) or (65536,) int32 with entries in 0..255 for all values that occur.

    Returns:
        (H, W) uint8, a new array.
    """
    entries = table.astype(np.uint8)
    if label.dtype == np.uint8:
        used = entries[: int(label.max(initial=0)) + 1]
        if np.array_equal(used, np.arange(used.size, dtype=np.uint8) + used[0]):
            # Nothing changes, or all values move by the same (as where the zero label is reduced and no
            # pixel holds 255): 8-bit addition wraps round as the table does, and takes a fifth of the time.
            return label + used[0]
        # OpenCV's lookup is several times as fast as NumPy's indexing.
        mapped: npt.NDArray[np.uint8] = cv2.LUT(np.ascontiguousarray(label), entries[:256])
        return mapped.reshape(label.shape)
    return entries[label]


def contains_any(label: npt.NDArray[np.uint8 | np.uint16], values: npt.NDArray[np.bool_]) -> bool:
    """Say whether a raw value occurs for which ``values``, (256,) or (65536,) bool, is true."""
    if not label.size or not values[int(values.argmax()) : int(label.max()) + 1].any():
        # Most often the values looked for lie above all that occur, and the largest is quick to find.
        return False
    if label.dtype == np.uint8:
        return bool(cv2.LUT(np.ascontiguousarray(label), values.view(np.uint8)[:256]).any())
    return bool(values[label].any())


def map_labels(
    label: npt.NDArray[np.uint8 | np.uint16],
    label_map: Mapping[int, int] | None,
    *,
    reduce_zero_label: bool = False,
    unlisted: Unlisted = 'ignore',
    ignore_index: int = IGNORE_INDEX,
) -> npt.NDArray[np.uint8]:
    """Turn raw label values into class indices.

    Args:
        label: (H, W) uint8 or uint16.
        label_map: value -> class index, or None.
        reduce_zero_label: reduce the zero label first.
        unlisted: as in :func:`label_table`.
        ignore_index: the ignored label.

    Returns:
        (H, W) uint8, a new array.

    Raises:
        ValueError: a value occurs that is rejected or does not fit 8 bits.
    """
    table = label_table(
        label_map,
        size=256 if label.dtype == np.uint8 else 65536,
        reduce_zero_label=reduce_zero_label,
        unlisted=unlisted,
        ignore_index=ignore_index,
    )
    allowed = allowed_outputs(table, num_classes=None, ignore_index=ignore_index)
    if contains_any(label, ~allowed):
        value = int(label[~allowed[label]].min())
        raise ValueError(f'label value {value} has no class index')
    return apply_table(label, table)


def subset_map(
    classes: Sequence[str], subset: Sequence[str], *, ignore_index: int = IGNORE_INDEX
) -> dict[int, int]:
    """Return the map from indices among ``classes`` to indices among ``subset``; the others are ignored."""
    positions = {name: index for index, name in enumerate(subset)}
    return {index: positions.get(name, ignore_index) for index, name in enumerate(classes)}


def compose(
    first: Mapping[int, int], second: Mapping[int, int], *, ignore_index: int = IGNORE_INDEX
) -> dict[int, int]:
    """Return the map that applies ``first``, then ``second``; what ``first`` ignores stays ignored."""
    return {
        value: index if index == ignore_index else second.get(index, ignore_index)
        for value, index in first.items()
    }
