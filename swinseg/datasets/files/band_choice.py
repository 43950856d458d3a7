"""The bands of an image that a model is shown, by their numbers or names, in its order.

The module imports neither PyTorch nor mmcv, so that a process that only decodes stays small.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from swinseg.errors import DataError, DecodingError, quoted, shown

Choice = tuple[int, ...] | tuple[str, ...]
"""Numbers of bands, from 1, or their names, in the order in which a model is shown them."""

# As a config inside a checkpoint may hold them (swinseg.config.untrusted).
_NAME = re.compile(r'[\w-](?:[\w -]{0,58}[\w-])?', re.ASCII)


def checked_choice(setting: Any) -> Choice:
    """Return what a config's ``bands`` says.

    Raises:
        DataError: it is no list of different names, or of numbers from 1 on.
    """
    if isinstance(setting, Sequence) and not isinstance(setting, str) and setting:
        if all(isinstance(band, int) and not isinstance(band, bool) for band in setting):
            if min(setting) >= 1:
                return tuple(setting)
        elif all(_is_name(band) for band in setting):
            folded = [band.casefold() for band in setting]
            if len(set(folded)) == len(folded):
                return tuple(setting)
    raise DataError(
        'bands must be a list of the names of bands (letters of English, digits, spaces, "_" and "-"), each '
        'once, or of their numbers from 1 on, in the order in '
        f"which the model is shown them, such as ['red', 'green', 'blue', 'nir'], but is {quoted(setting)}"
    )


def _is_name(band: object) -> bool:
    return isinstance(band, str) and _NAME.fullmatch(band) is not None


def chosen_numbers(
    chosen: Choice,
    count: int,
    *,
    names: Sequence[str | None] = (),
    alpha: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return the numbers, from 1, of the bands of a file that were chosen.

    Where the file names its bands, those of these names are taken, without regard to case, wherever they stand.
    Where it names none, it must have as many bands as were chosen, and has them in this order.

    Args:
        chosen: numbers or names.
        count: bands of the file.
        names: what the file says of each band; None or nothing where it says nothing.
        alpha: numbers of the bands that the file says are transparency.

    Raises:
        DecodingError: the file has no such bands, or nothing says which they are.
    """
    of_file = [(name or '').strip() for name in names]
    if isinstance(chosen[0], int):
        numbers = tuple(band for band in chosen if isinstance(band, int))
        if all(1 <= band <= count for band in numbers):
            return numbers
        raise DecodingError(
            f'has the bands 1 to {count}, but {numbers} were asked for',
            fix=f'bands must be numbers from 1 to {count}',
        )
    wanted = [band for band in chosen if isinstance(band, str)]
    if any(of_file):
        return _by_name(wanted, of_file)
    plain = [band for band in range(1, count + 1) if band not in alpha]
    for found in (range(1, count + 1), plain):
        if len(found) == len(wanted):
            return tuple(found)
    raise DecodingError(
        f'has {count} {"band" if count == 1 else "bands"} without names, but the model is shown {len(wanted)}: '
        f'{", ".join(wanted)}',
        fix='name the bands in the file, give one that has just these, or say their numbers by --bands or bands=',
    )


def _by_name(wanted: Sequence[str], of_file: Sequence[str]) -> tuple[int, ...]:
    folded = [name.casefold() for name in of_file]
    missing = [band for band in wanted if folded.count(band.casefold()) != 1]
    if not missing:
        return tuple(folded.index(band.casefold()) + 1 for band in wanted)
    times = folded.count(missing[0].casefold())
    found = ', '.join(shown(name, most=20) or '(none)' for name in of_file[:20])
    raise DecodingError(
        f'has {"no band" if not times else f"{times} bands"} named {missing[0]}, which the model is shown, but '
        f'names its bands {found}',
        fix='name them as the model does, or say their numbers by --bands or bands=',
    )


def files_of_bands(path: str | os.PathLike[str], chosen: Choice) -> tuple[str, ...] | None:
    """Return the files of the chosen bands where each has one of its own, as Sentinel-2's ``T32_B02_10m.jp2``.

    Args:
        path: the file of any of them; whether it and the others are there, and hold one band each, is not looked
            at.
        chosen: numbers or names.

    Returns:
        One path for each band, in their order; None where the name of the file has not the name of just one band,
        alone between what is no letter or digit.
    """
    if len(chosen) < 2 or isinstance(chosen[0], int):
        return None
    folder, name = os.path.split(os.fspath(path))
    stem, suffix = os.path.splitext(name)
    names = [band for band in chosen if isinstance(band, str)]
    found = [
        match
        for band in names
        for match in re.finditer(
            rf'(?<![^\W_]){re.escape(band)}(?![^\W_])', stem, flags=re.IGNORECASE
        )
    ]
    if len(found) != 1:
        return None
    (match,) = found
    is_lower = match[0] == match[0].lower()
    return tuple(
        os.path.join(
            folder,
            f'{stem[: match.start()]}{band.lower() if is_lower else band}{stem[match.end() :]}{suffix}',
        )
        for band in names
    )
