"""CVAT's "for video" format 1.1 (github.com/cvat-ai/cvat): tracks with the shapes of an object, frame by frame."""

from __future__ import annotations

import copy
import itertools
import os
import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from swinseg.datasets.files.images import IMAGE_SUFFIXES
from swinseg.datasets.prepare.formats.cvat_shapes import (
    BOX_NUMBERS,
    ELLIPSE_NUMBERS,
    SHAPES,
    label_of,
    number_of,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.source import TRAIN, VAL, Label, PrepareError, Sample
from swinseg.errors import shown

_FRAME = re.compile(r'frame_(\d{1,9})')
_MOVED = {'box': BOX_NUMBERS, 'ellipse': ELLIPSE_NUMBERS}


class _Track(NamedTuple):
    """The shapes of an object by frame, both ascending; where it is said, for messages; and its label."""

    frames: list[int]
    shapes: list[Element]
    where: str
    label: str


def samples_of_tracks(
    root: Element, path: Path, values: Mapping[str, int], odd: OddEntries, *, val_share: float
) -> list[Sample]:
    """Return the frames of a video with labels.

    A shape counts from its frame until the next of its track, or until one that is ``outside``. Between the frames
    that have one, boxes and ellipses move evenly, as in CVAT; other shapes must stay as they are, for an export
    has them in every frame.

    Args:
        root: of the XML file.
        path: of the XML file, with the frames in ``images`` or beside it: ``frame_000000.png`` and so on.
        values: class index by the name of the label.
        odd: gets shapes that cannot be used when the labels are made.
        val_share: of the frames, in [0, 1); the last ones, for neighbors are nearly the same picture.

    Raises:
        PrepareError: there are no frames, ``val_share`` is outside its range, or a track is not as it should be.
    """
    if not 0 <= val_share < 1:
        raise PrepareError(f'the share for validation must be in [0, 1), but is {val_share}')
    tracks = [_track(track, path) for track in root.iterfind('track')]
    files = _frames(path)
    last = max((track.frames[-1] for track in tracks if track.frames), default=0)
    if not files:
        raise PrepareError(
            f'{path} is about the frames of a video, which are not in {path.parent / "images"}; export the task '
            'with its images, or put them there as frame_000000.png and so on'
        )
    if not any(track.frames and track.frames[0] <= max(files) for track in tracks):
        raise PrepareError(
            f'{path} has no shape in the frames {min(files)} to {max(files)} that are there, but up to {last}; '
            'put the frames of this task there'
        )
    size = _size(root, path)
    held_out = set(list(files)[len(files) - round(val_share * len(files)) :])
    return [
        Sample(
            file.stem,
            VAL if frame in held_out else TRAIN,
            file,
            partial(_label, file, frame, size, tracks, values, str(path), odd),
        )
        for frame, file in files.items()
    ]


def _frames(path: Path) -> dict[int, Path]:
    """Return the files of the frames by number, ascending."""
    found: dict[int, Path] = {}
    for folder in (path.parent / 'images', path.parent):
        for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
            file = folder / name
            matched = _FRAME.fullmatch(file.stem)
            if matched and file.suffix.lower() in IMAGE_SUFFIXES:
                if int(matched[1]) in found:
                    raise PrepareError(
                        f'{found[int(matched[1])]} and {file} are one frame; remove one of them'
                    )
                found[int(matched[1])] = file
        if found:
            break
    return dict(sorted(found.items()))


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    """Return (height, width) of the video, or None where the file does not say it."""
    if root.find('meta/*/original_size') is None:
        return None
    where = f'original_size of {path}'
    sides = {}
    for side in ('height', 'width'):
        text = root.findtext(f'meta/*/original_size/{side}', '')
        if not re.fullmatch(r'\s*[0-9]{1,9}\s*', text):
            raise PrepareError(
                f'{where} must have {side!r}, a whole number, but has {shown(text)!r}'
            )
        sides[side] = int(text)
    return sides['height'], sides['width']


def _track(track: Element, path: Path) -> _Track:
    where = f'track {shown(track.get("id"))} of {path}'
    shapes = [shape for shape in track if shape.tag in SHAPES]
    frames = [int(number_of(shape, 'frame', where)) for shape in shapes]
    if any(later <= earlier for earlier, later in itertools.pairwise(frames)):
        raise PrepareError(f'{where} must have shapes of ascending frames, but has {shown(frames)}')
    return _Track(frames, shapes, where, track.get('label', ''))


def _label(
    file: Path,
    frame: int,
    size: tuple[int, int] | None,
    tracks: list[_Track],
    values: Mapping[str, int],
    where: str,
    odd: OddEntries,
) -> Label:
    shapes = []
    for track in tracks:
        place = f'frame {frame} of {track.where}'
        shape = odd.attempt(partial(_shape_at, track, frame, place))
        if shape is not None:
            shapes.append((track.label, place, shape))
    return label_of(file, size, shapes, values, where, odd)


def _shape_at(track: _Track, frame: int, where: str) -> Element | None:
    """Return the shape of a track in a frame, or None where it has none."""
    after = bisect_right(track.frames, frame)
    shape = track.shapes[after - 1] if after else None
    if shape is None or shape.get('outside') == '1':
        return None
    if track.frames[after - 1] == frame or after == len(track.frames):
        return shape
    following = track.shapes[after]
    if _place(following) == _place(shape):
        return shape
    if shape.tag not in _MOVED or following.tag != shape.tag:
        raise PrepareError(
            f'{where} has no {shape.tag}, but the frames {track.frames[after - 1]} and {track.frames[after]} have '
            'different ones; export the task from CVAT, which writes the shapes of all frames'
        )
    between = copy.copy(shape)
    share = (frame - track.frames[after - 1]) / (track.frames[after] - track.frames[after - 1])
    for key in _MOVED[shape.tag]:
        start, end = number_of(shape, key, where), number_of(following, key, where)
        between.set(key, repr(start + share * (end - start)))
    if 'rotation' in shape.attrib or 'rotation' in following.attrib:
        start, end = (
            number_of(each, 'rotation', where) if 'rotation' in each.attrib else 0.0
            for each in (shape, following)
        )
        # The shorter way around.
        turn = (end - start + 180) % 360 - 180
        between.set('rotation', repr(start + share * turn))
    return between


def _place(shape: Element) -> dict[str, str]:
    """Return what says where a shape is."""
    said = ('frame', 'keyframe', 'outside', 'occluded', 'z_order')
    return {
        'tag': shape.tag,
        **{key: value for key, value in shape.attrib.items() if key not in said},
    }
