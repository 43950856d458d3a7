"""Parts of mmseg that need a package which may not be installed, and what to say of it."""

from __future__ import annotations

from importlib.util import find_spec

from swinseg.compat import has_compiled_ops

_HEADS_OF_MMDET = ('MaskFormerHead', 'Mask2FormerHead')
_HEADS_OF_COMPILED_OPS = {'PSAHead': 'PSAMask', 'CCHead': 'CrissCrossAttention'}


def missing_package(kind: str) -> str | None:
    """Return what a class of mmseg lacks in this installation, as the rest of a sentence about it.

    Args:
        kind: bare name of the class.

    Returns:
        None where it lacks nothing.
    """
    instead = 'take another head such as UPerNetHead'
    if kind in _HEADS_OF_MMDET and find_spec('mmdet') is None:
        # Without mmdet, mmseg derives them from nothing that takes their arguments.
        return (
            'needs mmdet, which is not installed, and the full mmcv with compiled ops below it; install both, or '
            f'{instead}'
        )
    if kind in _HEADS_OF_COMPILED_OPS and not has_compiled_ops():
        return (
            f'needs {_HEADS_OF_COMPILED_OPS[kind]} of the full mmcv with compiled ops, but mmcv-lite is '
            f'installed; install mmcv 2.1 in its place, or {instead}'
        )
    if kind == 'VPD' and find_spec('ldm') is None:
        return (
            "needs Stable Diffusion's package ldm, which is not installed; install what mmseg's "
            'requirements/optional.txt lists, or take another backbone such as SwinBackbone'
        )
    return None
