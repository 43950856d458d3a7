"""Finding images and the label that belongs to each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinseg.datasets.files.images import IMAGE_SUFFIXES, LABEL_SUFFIXES
from swinseg.datasets.files.suffixes import infer_suffixes
from swinseg.errors import DataError

AUTO = 'auto'


@dataclass(frozen=True)
class Pair:
    """An image and its label (None where the set has no labels).

    Attributes:
        image: path.
        label: path, or None; of several masks that of the first class that has one.
        masks: path of the mask of each class, None where there is none; empty where labels are one file each.
    """

    image: str
    label: str | None
    masks: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What is wrong with the files of a folder: a sentence that ends in the fix, the files, and arguments of
    the dataset that mend it, if some do.
    """

    sentence: str
    files: tuple[str, ...]
    setting: str = ''


@dataclass(frozen=True)
class Matching:
    """How the files of two folders belong together.

    Attributes:
        pairs: images with their labels, sorted by image path unless a file of names gives the order.
        faults: what keeps the rest from being paired; training needs none.
        labels_without_image: labels that no image of the folder belongs to.
    """

    pairs: tuple[Pair, ...]
    faults: tuple[Fault, ...] = ()
    labels_without_image: tuple[str, ...] = ()

    def complete_pairs(self) -> tuple[Pair, ...]:
        """Return the pairs where nothing is wrong.

        Raises:
            DataError: an image has no label, two files claim the same name, or a name that is asked for is
                not there.
        """
        if self.faults:
            raise DataError(self.faults[0].sentence, setting=self.faults[0].setting)
        return self.pairs


def match_files(
    image_folder: str | os.PathLike[str],
    label_folder: str | os.PathLike[str] | None,
    *,
    image_suffix: str | Sequence[str] = AUTO,
    label_suffix: str | Sequence[str] = AUTO,
    names_file: str | os.PathLike[str] | None = None,
    hint: str = '',
    needs_labels: bool = True,
) -> Matching:
    """Match the images under a folder, subfolders included, with labels by name.

    An image ``sub/NAME<image suffix>`` belongs to the label ``sub/NAME<label suffix>``. Endings are compared
    without regard to case. Hidden files are skipped.

    Args:
        image_folder: where the images are.
        label_folder: where the labels are, or None for a set without labels.
        image_suffix: what image names end in, such as ``'_leftImg8bit.jpg'``; several; or ``'auto'`` for
            every known image format.
        label_suffix: what label names end in; several; or ``'auto'`` for every lossless image format.
        names_file: a text file with one NAME (with or without the suffix) per line; those pairs, in that
            order, instead of all.
        hint: how to get the data, for the message about a folder that is missing or empty.
        needs_labels: whether an image without a label is a fault; without, it is a pair without one.

    Raises:
        DataError: a folder or ``names_file`` is missing or empty, no image is there, or images and labels in
            one folder cannot be told apart.
    """
    image_endings = _endings(image_suffix, IMAGE_SUFFIXES)
    label_endings = _endings(label_suffix, LABEL_SUFFIXES)
    _require_folder(image_folder, 'images', hint)
    same_folder = label_folder is not None and _same(image_folder, label_folder)
    if same_folder and label_suffix == AUTO and set(image_endings) & set(label_endings):
        names = [relative for _, relative in _files(image_folder)]
        inferred = infer_suffixes(names, names, one_folder=True)
        fix = (
            f'set {inferred}'
            if inferred
            else "set img_suffix and seg_map_suffix, for example img_suffix='.jpg', seg_map_suffix='.png'"
        )
        raise DataError(
            f'images and labels are both in {os.fspath(image_folder)}, so their file names must tell them '
            f'apart; {fix}',
            setting=str(inferred or ''),
        )
    images, faults = _by_name(
        image_folder, image_endings, 'image', exclude=label_endings if same_folder else ()
    )
    if not images:
        raise DataError(
            f'no image whose name ends in {_listed(image_endings)} is in {os.fspath(image_folder)}; '
            + (
                hint
                or 'set img_path in data_prefix and img_suffix to where and what your images are'
            )
        )
    names = sorted(images, key=images.__getitem__)
    if names_file is not None:
        wanted = _names(names_file, image_endings)
        absent = tuple(name for name in wanted if name not in images)
        names = [name for name in wanted if name in images]
        if absent:
            faults.append(
                Fault(
                    f'{_some(absent)} of {os.fspath(names_file)} {_is_are(absent)} not among the images in '
                    f'{os.fspath(image_folder)}; expected one file name without its suffix per line',
                    absent,
                )
            )
    if label_folder is None:
        return Matching(tuple(Pair(images[name], None) for name in names), tuple(faults))

    _require_folder(label_folder, 'labels', hint)
    found, faults_of_labels = _by_name(label_folder, label_endings, 'label')
    faults += faults_of_labels
    labels: dict[str, str | None] = {
        **({} if needs_labels else dict.fromkeys(names)),
        **found,
    }
    without_label = [name for name in names if name not in labels]
    if without_label:
        inferred = infer_suffixes(
            [name for _, name in _files(image_folder) if _without(name, image_endings) is not None],
            [name for _, name in _files(label_folder)],
            one_folder=same_folder,
        )
        fix = (
            f'set {inferred}, with which every image has its label'
            if inferred
            else f'expected for example {without_label[0]}{label_endings[0]}, so add the labels, '
            'remove the images, or set seg_map_suffix'
        )
        paths = tuple(images[name] for name in without_label)
        faults.append(
            Fault(
                f'{len(without_label)} of {len(names)} images have no label in {os.fspath(label_folder)}: '
                f'{_some([os.path.basename(path) for path in paths])}; {fix}',
                paths,
                str(inferred or ''),
            )
        )
    return Matching(
        tuple(Pair(images[name], labels[name]) for name in names if name in labels),
        tuple(faults),
        tuple(path for name, path in found.items() if name not in images),
    )


def match_class_folders(
    image_folder: str | os.PathLike[str],
    label_folder: str | os.PathLike[str],
    classes: Sequence[str],
    *,
    may_be_missing: bool = False,
    **options: Any,
) -> Matching:
    """Match the images under a folder with one mask for each class: ``label_folder/CLASS/sub/NAME<suffix>``.

    Args:
        image_folder: where the images are.
        label_folder: where the folders of the classes are.
        classes: their names, which are those of the folders.
        may_be_missing: whether an image may lack the masks of some classes.
        **options: as :func:`match_files` takes them.

    Raises:
        DataError: as :func:`match_files` says, of the images or of the folder of a class.
    """
    found = [
        match_files(
            image_folder,
            os.path.join(label_folder, name),
            needs_labels=not may_be_missing,
            **options,
        )
        for name in classes
    ]
    masks: dict[str, list[str | None]] = {}
    for matching in found:
        for pair in matching.pairs:
            masks.setdefault(pair.image, []).append(pair.label)
    return Matching(
        tuple(
            Pair(image, next(filter(None, of_image), os.fspath(label_folder)), tuple(of_image))
            for image, of_image in masks.items()
            if len(of_image) == len(classes)
        ),
        tuple(dict.fromkeys(fault for matching in found for fault in matching.faults)),
        tuple(path for matching in found for path in matching.labels_without_image),
    )


def _endings(suffix: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    if suffix == AUTO:
        return tuple(known)
    endings = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    # The longest first, so that of '_rgb.png' and '.png' the one that says more is taken off.
    return tuple(sorted((ending.lower() for ending in endings), key=len, reverse=True))


def _require_folder(folder: str | os.PathLike[str], what: str, hint: str) -> None:
    if os.path.isdir(folder):
        return
    state = 'is not a folder' if os.path.exists(folder) else 'does not exist'
    fix = hint or 'set data_root and data_prefix to where your data is'
    raise DataError(f'the folder of {what} {os.fspath(folder)} {state}; {fix}')


def _same(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    return Path(first).resolve() == Path(second).resolve()


def _files(folder: str | os.PathLike[str], prefix: str = '') -> Iterator[tuple[str, str]]:
    """Yield (path, path relative to the first folder with forward slashes) of every file that is not hidden."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith('.'):
                continue
            if entry.is_dir():
                yield from _files(entry.path, f'{prefix}{entry.name}/')
            else:
                yield entry.path, prefix + entry.name


def _without(name: str, endings: Sequence[str]) -> str | None:
    lower = name.lower()
    ending = next((ending for ending in endings if lower.endswith(ending)), None)
    return None if ending is None else name[: len(name) - len(ending)]


def _by_name(
    folder: str | os.PathLike[str], endings: Sequence[str], what: str, exclude: Sequence[str] = ()
) -> tuple[dict[str, str], list[Fault]]:
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for path, relative in _files(folder):
        if exclude and relative.lower().endswith(tuple(exclude)):
            continue
        name = _without(relative, endings)
        if name is None:
            continue
        if name in found:
            setting = 'img_suffix' if what == 'image' else 'seg_map_suffix'
            faults.append(
                Fault(
                    f'two {what}s have the name {name}: {found[name]} and {path}; remove one or set {setting}',
                    (found[name], path),
                )
            )
            continue
        found[name] = path
    return found, faults


def _names(names_file: str | os.PathLike[str], image_endings: Sequence[str]) -> list[str]:
    try:
        lines = Path(names_file).read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
        raise DataError(
            f'the split file {os.fspath(names_file)} cannot be read: {reason}; set ann_file to a text file '
            'with one file name without its suffix per line'
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(
            f'the split file {os.fspath(names_file)} names no image; expected one name per line'
        )
    stripped = (_without(name, image_endings) for name in names)
    return [name if short is None else short for name, short in zip(names, stripped, strict=True)]


def _some(names: Sequence[str]) -> str:
    shown = ', '.join(names[:3])
    return shown if len(names) <= 3 else f'{shown} and {len(names) - 3} more'


def _is_are(names: Sequence[str]) -> str:
    return 'is' if len(names) == 1 else 'are'


def _listed(endings: Sequence[str]) -> str:
    return endings[0] if len(endings) == 1 else f'one of {", ".join(endings)}'
