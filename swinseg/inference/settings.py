"""The inference settings of a config, ``model.test_cfg``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.errors import SlideError, quoted
from swinseg.inference.tiling import BLENDS, checked_windows

_MODES = ('whole', 'slide')


def check_inference_settings(settings: Mapping[str, Any]) -> None:
    """Check what says how an image is predicted; where it is predicted as a whole, the windows do not matter.

    Args:
        settings: ``mode``, and for ``'slide'`` the ``crop_size`` and ``stride`` that mmseg's ``slide_inference``
            takes, (height, width) in pixels, and the ``blend`` and ``batch_size`` of ``swinseg.inference.slide``.

    Raises:
        SlideError: one of them is missing or none of these, or the stride leaves gaps.
    """
    mode = settings.get('mode', 'whole')
    if mode not in _MODES:
        raise SlideError(f"mode of test_cfg must be 'whole' or 'slide', found {quoted(mode)}")
    if mode != 'slide':
        return
    window, stride = (_checked_pair(settings, name) for name in ('crop_size', 'stride'))
    checked_windows(window, stride)
    blend = settings.get('blend', 'uniform')
    if blend not in BLENDS:
        raise SlideError(
            f'blend of test_cfg must be one of {", ".join(BLENDS)}, found {quoted(blend)}'
        )
    batch_size = settings.get('batch_size')
    if batch_size is not None and not _is_length(batch_size):
        raise SlideError(
            f'batch_size of test_cfg must be a whole number from 1 on, or None, found {quoted(batch_size)}'
        )


def _checked_pair(settings: Mapping[str, Any], name: str) -> tuple[int, int]:
    if name not in settings:
        raise SlideError(
            f"test_cfg has mode='slide' but no {name}; write for example "
            "test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341))"
        )
    pair = settings[name]
    is_pair = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not is_pair or not all(map(_is_length, pair)):
        hint = f'; write {name}=({pair}, {pair})' if _is_length(pair) else ''
        raise SlideError(
            f'{name} of test_cfg must be (height, width) in whole pixels, found {quoted(pair)}{hint}'
        )
    return pair[0], pair[1]


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
