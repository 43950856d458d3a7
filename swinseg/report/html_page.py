"""Frame of all HTML pages: one file that needs no other, its colors, and pictures in it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

HTML_MARK = '<meta name="generator" content="swinseg">'
"""Stands in every page, so that a page of someone else is told from one that may be replaced."""

_JPEG_QUALITY = 82

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --card: #f6f8fa; --error: #b3261e; --warning: #8a5a00; --note: #0b5cad; --good: #1a6b34; --bar: #4f7cac; }
@media (prefers-color-scheme: dark) { :root { --back: #16191d; --ink: #e6e9ec; --soft: #9aa4ae; --line: #3a424a;
  --card: #20252b; --error: #ff8a80; --warning: #f2bd5c; --note: #8abfff; --good: #7bd79a; --bar: #6f9fd1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--back); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; } td, th { padding: .15rem .5rem .15rem 0; }
td.number, th.number { text-align: right; }
.swatch { display: inline-block; width: .8em; height: .8em; border: 1px solid var(--line); margin-right: .4em; }
.bar { height: .8em; background: var(--bar); min-width: 1px; border-radius: .1rem; }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--soft); }
"""


def html_page(title: str, parts: Sequence[str], *, style: str = '', script: str = '') -> str:
    """Return a whole page, which asks for no other file.

    Args:
        title: plain text.
        parts: the body's HTML, in which everything from elsewhere is escaped already.
        style: CSS after that of all pages.
        script: JavaScript that runs when the body is there; none when empty.
    """
    tail = f'<script>{script}</script>\n' if script else ''
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'{HTML_MARK}\n<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n'
        + '\n'.join(parts)
        + f'\n{tail}</body>\n</html>\n'
    )


def picture(pixels: NDArray[np.uint8], description: str, *, lossless: bool = False) -> str:
    """Return an ``<img>`` that carries its pixels.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        description: plain text, for those who cannot see it.
        lossless: as PNG, which is crisper and smaller for few colors, instead of JPEG.
    """
    suffix, settings = '.jpg', [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    if lossless:
        suffix, settings = '.png', [cv2.IMWRITE_PNG_COMPRESSION, 9]
    _, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    encoded = base64.b64encode(data.tobytes()).decode('ascii')
    kind = 'png' if lossless else 'jpeg'
    height, width = pixels.shape[:2]
    return (
        f'<img alt="{escape(description)}" width="{width}" height="{height}" '
        f'src="data:image/{kind};base64,{encoded}">'
    )


def swatch(color: Sequence[int] | NDArray[np.integer]) -> str:
    """Return a small square of an (R, G, B) color, each in [0, 255]."""
    red, green, blue = (int(value) for value in color)
    return f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
