"""Faults of a label's values or size, what they probably mean, and the setting that mends them.

Training, its quick check and ``swinseg check`` all say it with these functions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from swinseg.datasets.labels.cityscapes import LAST_ID, TRAIN_IDS
from swinseg.datasets.labels.map import REJECTED, LabelRule, rule_tables
from swinseg.errors import quoted

MASK_SETTING = 'label_map={0: 0, 255: 1}'
_LISTED = 12
_INSTANCES = 1000
"""Instance maps in Cityscapes' manner hold class * 1000 + number of the object."""


@dataclass(frozen=True)
class Option:
    """One reading of the values, such as 'if 0 means unlabeled', and the dataset's argument for it."""

    reading: str
    setting: str


@dataclass(frozen=True)
class Advice:
    """The settings that may be meant, the likeliest first, or words where no setting is known."""

    options: tuple[Option, ...] = ()
    words: str = ''

    def __str__(self) -> str:
        parts = [f'{option.reading} set {option.setting}' for option in self.options]
        return ', '.join([*parts, self.words] if self.words else parts)


def advise(seen: Sequence[int], rule: LabelRule, *, of_all: bool = False) -> Advice:
    """Say what the raw values of a label, or of all labels of a dataset, probably mean.

    Args:
        seen: the raw values that occur, in ascending order, 0 to 65535.
        rule: what the dataset says that they mean, which they contradict.
        of_all: ``seen`` are the values of all labels, so that a value which is not there never occurs.
    """
    table, allowed = rule_tables(rule, 65536)
    wrong = [value for value in seen if not allowed[value]]
    first = wrong[0] if wrong else None
    classes = rule.num_classes
    if classes is None:
        return Advice(words='give the dataset a label_map from raw values to class indices')
    if first is not None and table[first] == REJECTED:
        return Advice(
            words=f'add it to label_map={{{first}: CLASS_INDEX}} or to ignore_values={_listed(wrong)}'
        )
    if first is not None and rule.reduce_zero_label:
        return Advice(
            words=f'if {first} is a class add it to the class list, else make it 0, unlabeled, in the label'
        )
    if first is not None and rule.label_map is not None:
        return Advice(
            words=f'if {first} is a class add it to the class list, else map it away with '
            f'label_map={{{first}: {rule.ignore_index}}} or ignore_values={_listed(wrong)}'
        )
    if 255 in seen and set(seen) <= {0, 255} and classes == 2 and rule.label_map is None:
        without = 'reduce_zero_label=False, ' if rule.reduce_zero_label else ''
        return Advice((Option('for masks of 0 and 255', without + MASK_SETTING),))
    if first is None:
        return Advice(
            words='check reduce_zero_label, label_map, ignore_values and the selected classes'
        )
    if seen[-1] > 255:
        return _advise_on_instances(seen, classes)
    if of_all and seen[0] > 0 and wrong[-1] == classes:
        return Advice((Option('since classes count from 1', 'reduce_zero_label=True'),))
    return _advise_on_values(seen, wrong, rule.ignore_index, classes)


def _advise_on_values(
    seen: Sequence[int], wrong: Sequence[int], ignore_index: int, classes: int
) -> Advice:
    ignored = Option(
        f'if {_listed(wrong)[1:-1]} means unlabeled', f'ignore_values={_listed(wrong)}'
    )
    if list(wrong) == [classes]:
        from_one = Option('if 0 means unlabeled and classes count from 1', 'reduce_zero_label=True')
        return Advice((from_one, ignored))
    if classes == len(TRAIN_IDS) and wrong[-1] <= LAST_ID:
        return Advice((Option('for the label ids of Cityscapes', f'label_map={TRAIN_IDS}'),))
    for values in (seen, [value for value in seen if value != ignore_index]):
        if len(values) == classes:
            in_order = {value: index for index, value in enumerate(values)}
            return Advice((Option('if these are all classes in order', f'label_map={in_order}'),))
    return Advice(
        words='give the dataset a label_map={raw value: class index}, '
        f'or ignore_values={_listed(wrong)} if {"it means" if len(wrong) == 1 else "they mean"} unlabeled'
    )


def _advise_on_instances(seen: Sequence[int], classes: int) -> Advice:
    """Read values as class * 1000 + number of the object, or as the class where there are no objects of it."""
    classless = Advice(
        words='these values number objects, so give the dataset label files that hold classes'
    )
    large = [value for value in seen if value > 255]
    if large[0] < _INSTANCES:
        return classless
    ids = sorted({value if value < _INSTANCES else value // _INSTANCES for value in seen})
    divisor = f'instance_divisor={_INSTANCES}'
    if classes == len(TRAIN_IDS) and ids[-1] <= LAST_ID:
        setting = f'{divisor}, label_map={TRAIN_IDS}'
        return Advice((Option('for the instance ids of Cityscapes', setting),))
    if ids[-1] >= classes and len(ids) == classes:
        divisor += f', label_map={ {value: index for index, value in enumerate(ids)} }'
    elif ids[-1] >= classes:
        return classless
    return Advice((Option(f'for class * {_INSTANCES} + number of the object', divisor),))


def _listed(values: Sequence[int]) -> str:
    shown = [str(value) for value in values[:_LISTED]]
    return f'[{", ".join([*shown, "..."] if len(values) > _LISTED else shown)}]'


def value_sentence(
    path: str | os.PathLike[str],
    values: Sequence[int],
    rule: LabelRule,
    *,
    advice: Advice | None = None,
) -> str:
    """Say that a label holds values which are no class, and what to do.

    Args:
        path: the label.
        values: the raw values in it, ascending; at least one is not allowed.
        rule: what the dataset says that they mean.
        advice: on the values of several labels; None for that on those of this one.
    """
    table, allowed = rule_tables(rule, 65536)
    wrong = [value for value in values if not allowed[value]]
    value, index = wrong[0], int(table[wrong[0]])
    others = f' (and {len(wrong) - 1} more such values)' if len(wrong) > 1 else ''
    found = f'label {os.fspath(path)} contains the value {value}{others}'
    advice = advice or advise(values, rule)
    if rule.num_classes is None:
        return f'{found}, expected 0 to 255; {advice}, as FolderDataset takes it'
    if index == REJECTED:
        return f'{found}, which neither label_map nor ignore_values names; {advice}'
    became = f', which becomes class index {index},' if index != value else ''
    return (
        f'{found}{became} but expected 0 to {rule.num_classes - 1} ({rule.num_classes} classes) or '
        f'{rule.ignore_index} (ignored); {advice}'
    )


def zero_label_sentence(step: str, wanted: object, owner: str, rule: bool) -> str:
    """Say that a step of a pipeline reduces the zero label where its dataset does not, or the other way round.

    Args:
        step: name of the step's class.
        wanted: its ``reduce_zero_label``.
        owner: name of the dataset's class, or words for it.
        rule: that of the dataset.
    """
    return (
        f'{step} has reduce_zero_label={quoted(wanted)}, but {owner} has reduce_zero_label={rule}, which decides '
        'what labels mean; set it there and leave it out of the pipeline'
    )


def size_sentence(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    image_path: str | None,
    image_shape: Sequence[int],
) -> str:
    """Say that a label of ``shape`` (H, W) does not cover its image of ``image_shape`` (H, W)."""
    (height, width), (label_height, label_width) = image_shape, shape
    if (height, width) == (label_width, label_height):
        fix = (
            'the sides are swapped, so turn the label as the EXIF orientation turns the image, '
            'or remove that orientation from the image'
        )
    else:
        fix = 'export the label at the size of its image, or correct which files are paired'
    return (
        f'label {os.fspath(path)} is {label_width} x {label_height} (width x height) but its image '
        f'{image_path} is {width} x {height}; {fix}'
    )
