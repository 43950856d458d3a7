"""Mapillary Vistas (Neuhold et al., 2017): labels by version, and the configs that name their classes."""

from __future__ import annotations

import os
from pathlib import Path

from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.prepare.annotations import field, names_without_background, read_json
from swinseg.datasets.prepare.source import (
    TRAIN,
    VAL,
    PrepareError,
    Sample,
    Source,
    loading,
    samples_of,
)
from swinseg.errors import shown

VERSIONS = ('v2.0', 'v1.2')
_FOLDERS = {TRAIN: 'training', VAL: 'validation'}


def from_mapillary(
    folder: str | os.PathLike[str], *, version: str | None = None, val_share: float = 0.1
) -> Source:
    """Read the labels of a version of Mapillary Vistas as the classes that are evaluated in it, in their order.

    Pixels of the others, such as those that are unlabeled, do not count.

    Args:
        folder: with ``config_v2.0.json``, and ``training`` and ``validation`` with ``images`` and ``v2.0/labels``;
            likewise for ``v1.2``; or with ``config.json`` and ``labels``, as the first edition has them.
        version: ``'v2.0'`` or ``'v1.2'``; None takes the newest that is there.
        val_share: of the images, held out where ``validation`` is missing.

    Raises:
        PrepareError: there is no such version, or its config is not as it should be.
        DataError: the files are not as they should be; a label that is no class when the label is made.
    """
    root = Path(folder)
    config, labels_folder = _config(root, version)
    where = str(config)
    label_map: dict[int, int] = {}
    ignored: list[int] = []
    found: list[str] = []
    colors: list[list[int]] = []
    for value, entry in enumerate(field(read_json(config), 'labels', list, where)):
        at = f'label {value} of {where}'
        name = field(entry, 'name', str, at)
        if entry.get('evaluate', True):
            label_map[value] = len(found)
            found.append(field(entry, 'readable', str, at) if 'readable' in entry else name)
            colors.append(_color(entry, at))
        else:
            ignored.append(value)
    names = names_without_background(found, where)
    if len(names) < len(found):
        twice = next(name for name in names if found.count(name) > 1)
        raise PrepareError(f'{where} has two labels of the name {shown(twice)}; give each its own')
    samples: list[Sample] = []
    splits = {split: root / name for split, name in _FOLDERS.items() if (root / name).is_dir()}
    if not splits:
        raise PrepareError(f'{root} has neither training nor validation; check the folder')
    for split, place in splits.items():
        dataset = FolderDataset(
            data_prefix=dict(
                img_path=str(place / 'images'), seg_map_path=str(place / labels_folder)
            ),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            classes=names,
            palette=colors,
            label_map=label_map,
            ignore_values=ignored,
            pipeline=loading(),
            test_mode=True,
            serialize_data=False,
        )
        placed = split if len(splits) > 1 or split == VAL else None
        samples += samples_of(dataset, placed, val_share=val_share)
    return Source(names, colors, samples)


def _config(root: Path, version: str | None) -> tuple[Path, str]:
    """Return the config of the version, and its folder of labels below the one of a split."""
    if version is not None and version not in VERSIONS:
        raise PrepareError(f'the version must be {" or ".join(VERSIONS)}, but is {version!r}')
    for each in VERSIONS if version is None else (version,):
        path = root / f'config_{each}.json'
        if path.is_file():
            return path, f'{each}/labels'
    if version is None and (root / 'config.json').is_file():
        return root / 'config.json', 'labels'
    names = ' or '.join(f'config_{each}.json' for each in ([version] if version else VERSIONS))
    raise PrepareError(f'{root} has no {names}; name the folder that Mapillary Vistas unpacks to')


def _color(entry: dict[str, object], where: str) -> list[int]:
    color = field(entry, 'color', list, where)
    if len(color) != 3 or any(type(each) is not int or not 0 <= each <= 255 for each in color):
        raise PrepareError(f"{where} must have 'color', [red, green, blue], but has {shown(color)}")
    return color
