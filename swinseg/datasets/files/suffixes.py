"""Finding out what the names of images and labels end in, where the endings in the config do not pair them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swinseg.datasets.files.images import IMAGE_SUFFIXES, LABEL_SUFFIXES

_BOUNDARIES = frozenset('_-. ')


@dataclass(frozen=True)
class Suffixes:
    """Endings that pair all images."""

    image: str
    label: str

    def __str__(self) -> str:
        return f'img_suffix={self.image!r}, seg_map_suffix={self.label!r}'


def infer_suffixes(
    images: Sequence[str], labels: Sequence[str], *, one_folder: bool = False
) -> Suffixes | None:
    """Look for one ending of images and one of labels with which every image has its label.

    Each name is split where it stops being like the most similar name on the other side, so that
    ``a_1_photo.jpg`` and ``a_1_mask.png`` give ``_photo.jpg`` and ``_mask.png``.

    Args:
        images: paths of the files in the folder of images, relative to it.
        labels: the same of labels.
        one_folder: images and labels are in one folder, so both lists are the same.

    Returns:
        The endings, or None where no two pair all images.
    """
    images = sorted(name for name in images if name.lower().endswith(IMAGE_SUFFIXES))
    labels = sorted(name for name in labels if name.lower().endswith(LABEL_SUFFIXES))
    if not images or not labels:
        return None
    known = set(labels)
    votes: Counter[Suffixes] = Counter()
    for image in images[:: max(1, len(images) // 50)]:
        label = max(
            (name for name in labels if name != image),
            key=lambda name: _shared(image, name),
            default=None,
        )
        if label is not None and (length := _shared(image, label)):
            votes[Suffixes(image[length:], label[length:])] += 1
    for suffixes, _ in votes.most_common(3):
        rest = [name for name in images if not (one_folder and name.endswith(suffixes.label))]
        names = [
            name.removesuffix(suffixes.image) for name in rest if name.endswith(suffixes.image)
        ]
        if len(names) == len(rest) > 0 and all(
            f'{name}{suffixes.label}' in known for name in names
        ):
            return suffixes
    return None


def _shared(first: str, second: str) -> int:
    """Return the length of what two names begin with alike, back to where a part of the name begins."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    length = sum(1 for _ in alike)
    while length and not {first[length : length + 1], second[length : length + 1]} & _BOUNDARIES:
        length -= 1
    return length
