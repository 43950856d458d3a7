"""Colors for classes that come without a palette."""

from __future__ import annotations

import colorsys

_GOLDEN_RATIO = 0.618033988749895
# Neighboring classes differ in lightness as well as in hue, so that they stay apart for color-blind eyes.
_SATURATION_AND_VALUE = ((0.80, 0.95), (0.65, 0.60), (0.40, 0.95))


def distinct_colors(count: int) -> list[list[int]]:
    """Return ``count`` different RGB colors, none of them black; the first ones do not depend on ``count``.

    Hues step by the golden ratio, which spreads any number of them evenly over the circle.

    Args:
        count: at least 0.

    Returns:
        ``count`` lists [red, green, blue], 0 to 255.
    """
    colors: list[list[int]] = []
    seen: set[tuple[int, ...]] = set()
    step = 0
    while len(colors) < count:
        saturation, value = _SATURATION_AND_VALUE[step % len(_SATURATION_AND_VALUE)]
        rgb = colorsys.hsv_to_rgb((0.08 + step * _GOLDEN_RATIO) % 1.0, saturation, value)
        color = tuple(round(channel * 255) for channel in rgb)
        if color not in seen:
            seen.add(color)
            colors.append(list(color))
        step += 1
    return colors
