"""What an exported file says about itself, as it is read; the package ``swinseg`` writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swinseg_runtime.errors import ModelFileError

OUTPUTS = ('labels', 'confidence', 'probabilities')

_LARGEST_SIDE = 2**14
_MOST_LABELS = 2**16


@dataclass(frozen=True)
class Metadata:
    """What is said about an exported model, in the file.

    Attributes:
        classes: K names.
        palette: K RGB colors, in [0, 255].
        mean: of each channel in the order of ``channel_order``, in [0, 255].
        std: likewise.
        channel_order: of a ``'tensor'`` input, ``'RGB'`` or ``'BGR'``; of an ``'image'`` always RGB.
        input: ``'tensor'``, (B, C, h, w) float32, normalized, or ``'image'``, (B, h, w, 3) uint8 RGB.
        output: ``'labels'``, ``'confidence'`` (the labels and the probability of each) or ``'probabilities'``.
        resizes: whether an image is resized in the graph, and must not be outside.
        size: height and width that the graph is for, with a batch of 1; None for any.
        stride: pixels of the image for one of the coarsest map.
        checkpoint_sha256: of the file that the weights came from; None where it was none.
        threshold: from which probability on the one score of a binary head means class 1; None for other heads.
        protocol: how images are prepared and put through the graph; None where no config said so. ``resize``:
            ``scale`` [width, height] and ``keep_ratio``, or None; ``mode``: ``'whole'``, or ``'slide'`` with
            ``crop_size`` and ``stride`` of the windows, [height, width]; ``other_steps``: what else is done.
        config: what a predictor of the package needs of the model's config, as text; None where there was none.
        dtype: that it is computed in between the normalized image and the logits.
    """

    classes: tuple[str, ...]
    palette: tuple[tuple[int, ...], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str
    input: str
    output: str
    resizes: bool
    size: tuple[int, int] | None
    stride: int
    checkpoint_sha256: str | None
    threshold: float | None = None
    protocol: Mapping[str, Any] | None = None
    config: str | None = None
    dtype: str = 'float32'

    @classmethod
    def parse(cls, entries: Mapping[str, str], *, name: str) -> Metadata:
        """Read what a file says of itself, which anyone may have written.

        Args:
            entries: by key; values that are no plain text are JSON.
            name: of the file, for messages.

        Raises:
            ModelFileError: a key is missing, or its value is none.
        """
        read = _Entries(entries, name)
        classes = read.list_of(
            'classes', lambda each: isinstance(each, str) and each.isprintable(), most=_MOST_LABELS
        )
        channels = read.list_of('mean', _is_number)
        size = read.json('size', lambda value: _is_pair(value) and min(value) > 0)
        sha256 = entries.get('checkpoint_sha256')
        return cls(
            classes=tuple(classes),
            palette=tuple(map(tuple, read.list_of('palette', _is_color, length=len(classes)))),
            mean=tuple(channels),
            std=tuple(
                read.list_of('std', lambda each: _is_number(each) and each > 0, length=len(channels))
            ),
            channel_order=read.choice('channel_order', ('RGB', 'BGR')),
            input=read.choice('input', ('tensor', 'image')),
            output=read.choice('output', OUTPUTS),
            resizes=read.choice('resize', ('inside', 'outside')) == 'inside',
            size=None if size is None else (size[0], size[1]),
            stride=read.json('stride', lambda value: _is_whole(value) and value > 0),
            checkpoint_sha256=sha256,
            threshold=read.json('threshold', lambda value: _is_number(value) and 0 <= value < 1),
            protocol=read.json('protocol', _is_protocol),
            config=entries.get('config'),
            dtype=entries.get('dtype', 'float32'),
        )  # fmt: skip


class _Entries:
    """Values of the metadata, each checked."""

    def __init__(self, entries: Mapping[str, str], name: str) -> None:
        self._entries, self._name = entries, name

    def json(self, key: str, is_right: Callable[[Any], bool]) -> Any:
        """Return a value, or None where the key is not there."""
        if key not in self._entries:
            return None
        try:
            value = json.loads(self._entries[key])
        except (ValueError, RecursionError):
            value = None
        if value is None or not is_right(value):
            raise self._wrong(key)
        return value

    def list_of(
        self,
        key: str,
        is_right: Callable[[Any], bool],
        *,
        length: int | None = None,
        most: int | None = None,
    ) -> list[Any]:
        def is_list(value: Any) -> bool:
            is_long = isinstance(value, list) and 0 < len(value) <= (most or len(value))
            return is_long and length in (None, len(value)) and all(map(is_right, value))

        found: list[Any] | None = self.json(key, is_list)
        if found is None:
            raise self._wrong(key)
        return found

    def choice(self, key: str, known: Sequence[str]) -> str:
        if self._entries.get(key) not in known:
            raise self._wrong(key)
        return self._entries[key]

    def _wrong(self, key: str) -> ModelFileError:
        found = self._entries.get(key)
        what = 'says nothing' if found is None else f'says {found[:60]!r}'
        return ModelFileError(
            f'{self._name} {what} of {key} where swinseg export says something else; export the model again'
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_pair(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2
    return is_pair and all(_is_whole(side) and 0 < side <= _LARGEST_SIDE for side in value)


def _is_color(value: Any) -> bool:
    is_color = isinstance(value, list) and len(value) == 3
    return is_color and all(_is_whole(part) and 0 <= part <= 255 for part in value)


def _is_protocol(value: Any) -> bool:
    if not isinstance(value, dict) or value.get('mode') not in ('whole', 'slide'):
        return False
    resize, others = value.get('resize'), value.get('other_steps', [])
    is_resize = resize is None or (
        isinstance(resize, dict)
        and _is_pair(resize.get('scale'))
        and isinstance(resize.get('keep_ratio'), bool)
    )
    is_slide = value['mode'] == 'whole' or all(
        map(_is_pair, map(value.get, ('crop_size', 'stride')))
    )
    are_names = isinstance(others, list) and all(isinstance(name, str) for name in others)
    return is_resize and is_slide and are_names
