"""Drawing street, park and room scenes, each pixel with its class: the pictures of the embedded mini set.

A scene is painted back to front at twice its size, then halved: the image by averaging, the label by a vote
of the four samples. Where no class has three of them the pixel is unlabelled.

Lengths are in samples (half pixels) and colours are RGB from 0 to 1 until the scene is finished.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

RAW_VALUES = {
    'wall': 1,
    'building': 2,
    'sky': 3,
    'floor': 4,
    'tree': 5,
    'road': 7,
    'grass': 10,
    'person': 13,
    'car': 21,
    'water': 22,
}
"""ADE20K's raw label values of the classes that are drawn, in ascending order."""

UNLABELLED = 0

Array = npt.NDArray[np.float32]
Color = tuple[float, float, float]
Texture = Literal['grain', 'blotches', 'clouds', 'ripples', 'blades']

_SUPERSAMPLING = 2
_SKIES: tuple[tuple[Color, Color], ...] = (
    ((0.22, 0.45, 0.82), (0.70, 0.83, 0.95)),
    ((0.35, 0.55, 0.85), (0.85, 0.90, 0.95)),
    ((0.60, 0.64, 0.70), (0.83, 0.85, 0.87)),
    ((0.36, 0.38, 0.58), (0.97, 0.70, 0.48)),
    ((0.20, 0.24, 0.42), (0.62, 0.56, 0.66)),
)
_FACADES: tuple[Color, ...] = (
    (0.62, 0.36, 0.28),
    (0.74, 0.66, 0.52),
    (0.58, 0.58, 0.60),
    (0.82, 0.80, 0.74),
    (0.46, 0.40, 0.36),
    (0.80, 0.62, 0.48),
    (0.42, 0.50, 0.58),
)
_CARS: tuple[Color, ...] = (
    (0.75, 0.10, 0.10),
    (0.12, 0.22, 0.62),
    (0.90, 0.90, 0.92),
    (0.12, 0.12, 0.14),
    (0.60, 0.62, 0.65),
    (0.92, 0.72, 0.12),
    (0.15, 0.45, 0.30),
)
_SKIN: tuple[Color, ...] = (
    (0.94, 0.77, 0.65),
    (0.80, 0.60, 0.46),
    (0.58, 0.39, 0.27),
    (0.36, 0.24, 0.17),
)
_LEAVES: tuple[Color, ...] = (
    (0.16, 0.36, 0.12),
    (0.24, 0.44, 0.14),
    (0.10, 0.26, 0.13),
    (0.36, 0.46, 0.14),
    (0.62, 0.42, 0.12),
)
_PAINTS: tuple[Color, ...] = (
    (0.90, 0.86, 0.76),
    (0.74, 0.82, 0.84),
    (0.86, 0.74, 0.66),
    (0.70, 0.76, 0.66),
    (0.88, 0.88, 0.90),
    (0.64, 0.58, 0.66),
)
_FLOORS: tuple[Color, ...] = (
    (0.55, 0.36, 0.20),
    (0.68, 0.50, 0.32),
    (0.40, 0.26, 0.16),
    (0.62, 0.56, 0.50),
    (0.48, 0.22, 0.20),
)


def draw_scene(
    rng: np.random.Generator, *, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw one scene.

    Args:
        rng: all that is random comes from here.
        height: of the image, in pixels, at least 32.
        width: likewise.

    Returns:
        The image, (height, width, 3) uint8 RGB, and its label, (height, width) uint8 with the values of
        :data:`RAW_VALUES` and 0 on the border pixels that belong to no class for the most part.
    """
    canvas = _Canvas(rng, height * _SUPERSAMPLING, width * _SUPERSAMPLING)
    kind = rng.random()
    if kind < 0.46:
        _street(canvas)
    elif kind < 0.68:
        _waterside(canvas)
    else:
        _room(canvas)
    return _finish(canvas)


class _Canvas:
    """The picture in progress, its labels, its light, and the noise that textures are cut from."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng = rng
        self.height = height
        self.width = width
        self.image: Array = np.zeros((height, width, 3), np.float32)
        self.label = np.zeros((height, width), np.uint8)
        # Where the light comes from: -1 is the left, 1 the right.
        self.light_x = float(rng.choice([-1, 1]) * rng.uniform(0.3, 1.0))
        self.noise: dict[Texture, Array] = {
            'grain': rng.standard_normal((height, width), dtype=np.float32),
            'blotches': self._noise(height // 8, width // 8),
            'clouds': 0.7 * self._noise(6, 6) + 0.4 * self._noise(height // 24, width // 24),
            'ripples': self._noise(height // 3, width // 30),
            'blades': self._noise(height // 12, width // 2),
        }

    def _noise(self, rows: int, columns: int) -> Array:
        small = self.rng.standard_normal((max(2, rows), max(2, columns)), dtype=np.float32)
        smooth: Array = cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        return smooth

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, colors: Sequence[Color], spread: float = 0.06) -> Color:
        """Return one of the colours, a little different each time."""
        base = colors[int(self.rng.integers(len(colors)))]
        shift = self.rng.normal(0, spread, 3) * 0.6 + self.rng.normal(0, spread)
        red, green, blue = (float(v) for v in np.clip(np.array(base) + shift, 0.03, 0.97))
        return red, green, blue

    def cloth(self) -> Color:
        """Return the colour of a garment."""
        return colorsys.hsv_to_rgb(
            self.uniform(0, 1), self.uniform(0.1, 0.9), self.uniform(0.15, 0.9)
        )

    def paint(
        self,
        mask: npt.NDArray[np.bool_],
        left: int,
        top: int,
        color: Color | Array,
        class_name: str | None,
        *,
        texture: Texture = 'grain',
        amount: float = 0.04,
        shade: float = 0.0,
        fall: float = 0.0,
    ) -> None:
        """Paint where ``mask`` is set.

        Args:
            mask: (h, w), inside the canvas.
            left: column of its first column.
            top: row of its first row.
            color: one colour, or (h, w, 3).
            class_name: what it is; None is something that belongs to no class.
            texture: the noise on it.
            amount: how strong that noise is.
            shade: how much brighter the side towards the light is.
            fall: how much darker the lower end is.
        """
        rows, columns = mask.shape
        window = np.s_[top : top + rows, left : left + columns]
        tone = 1.0 + amount * self.noise[texture][window]
        if shade:
            tone = tone + shade * self.light_x * np.linspace(-1, 1, columns, dtype=np.float32)
        if fall:
            tone = tone - fall * np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
        pixels = np.asarray(color, np.float32) * tone[..., None]
        np.copyto(self.image[window], pixels, where=mask[..., None])
        self.label[window][mask] = UNLABELLED if class_name is None else RAW_VALUES[class_name]

    def polygon(
        self,
        points: Sequence[tuple[float, float]],
        color: Color,
        class_name: str | None,
        *,
        texture: Texture = 'grain',
        amount: float = 0.04,
        shade: float = 0.0,
        fall: float = 0.0,
    ) -> None:
        """Paint a polygon of (x, y) corners, cut at the canvas; see :meth:`paint`."""
        corners = np.round(np.asarray(points, np.float64)).astype(np.int32)
        left, top = np.maximum(corners.min(axis=0), 0)
        right = min(int(corners[:, 0].max()) + 1, self.width)
        bottom = min(int(corners[:, 1].max()) + 1, self.height)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [corners - (left, top)], 1)
        self.paint(
            mask.view(np.bool_), int(left), int(top), color, class_name,
            texture=texture, amount=amount, shade=shade, fall=fall,
        )  # fmt: skip

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        color: Color,
        class_name: str | None,
        *,
        texture: Texture = 'grain',
        amount: float = 0.04,
        shade: float = 0.0,
        fall: float = 0.0,
    ) -> None:
        """Paint an upright rectangle; see :meth:`paint`."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(
            corners, color, class_name, texture=texture, amount=amount, shade=shade, fall=fall
        )

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        color: Color,
        class_name: str | None,
        *,
        shade: float = 0.0,
        fall: float = 0.0,
    ) -> None:
        """Paint an upright ellipse; see :meth:`paint`."""
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        points = np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)
        self.polygon([(px, py) for px, py in points], color, class_name, shade=shade, fall=fall)

    def shadow(
        self, x: float, y: float, radius_x: float, radius_y: float, depth: float = 0.5
    ) -> None:
        """Darken the ground softly in an ellipse that leans away from the light; labels stay."""
        x -= self.light_x * radius_x * 0.7
        left, right = max(0, int(x - 1.6 * radius_x)), min(self.width, int(x + 1.6 * radius_x) + 1)
        top, bottom = max(0, int(y - 2 * radius_y)), min(self.height, int(y + 2 * radius_y) + 1)
        if right <= left or bottom <= top:
            return
        across = (np.arange(left, right, dtype=np.float32) - x) / (1.2 * radius_x)
        down = (np.arange(top, bottom, dtype=np.float32) - y) / (1.3 * radius_y)
        distance = across[None, :] ** 2 + down[:, None] ** 2
        self.image[top:bottom, left:right] *= (1 - depth * np.exp(-2 * distance**2))[..., None]


def _sky(canvas: _Canvas, horizon: float) -> None:
    zenith, haze = _SKIES[int(canvas.rng.integers(len(_SKIES)))]
    rows = int(horizon) + 1
    blend = (np.linspace(0, 1, rows, dtype=np.float32) ** 1.3)[:, None, None]
    tint = canvas.rng.normal(0, 0.025, 3).astype(np.float32)
    colors = (
        np.asarray(zenith, np.float32) * (1 - blend) + np.asarray(haze, np.float32) * blend + tint
    )
    colors = np.broadcast_to(colors, (rows, canvas.width, 3))
    cover = np.clip((canvas.noise['clouds'][:rows] - canvas.uniform(-0.3, 0.9)) * 1.2, 0, 0.85)
    white = np.asarray([0.93, 0.93, 0.94], np.float32) * canvas.uniform(0.85, 1.0)
    colors = colors * (1 - cover[..., None]) + white * cover[..., None]
    mask = np.ones((rows, canvas.width), np.bool_)
    canvas.paint(mask, 0, 0, colors, 'sky', amount=0.01)


def _ground(
    canvas: _Canvas, top: float, color: Color, class_name: str, *, texture: Texture
) -> None:
    edge = [
        (x, top + canvas.height * 0.012 * canvas.noise['clouds'][0, min(int(x), canvas.width - 1)])
        for x in np.linspace(0, canvas.width, 9)
    ]
    corners = [(0.0, float(canvas.height)), *edge, (float(canvas.width), float(canvas.height))]
    canvas.polygon(corners, color, class_name, texture=texture, amount=0.10, fall=-0.06)


def _grass(canvas: _Canvas, top: float) -> None:
    color = canvas.pick(
        [(0.36, 0.52, 0.18), (0.45, 0.56, 0.24), (0.54, 0.54, 0.26), (0.28, 0.46, 0.16)]
    )
    _ground(canvas, top, color, 'grass', texture='blades')


def _building(canvas: _Canvas, left: float, right: float, top: float, base: float) -> None:
    facade = canvas.pick(_FACADES)
    depth = (right - left) * canvas.uniform(0.0, 0.25)
    if canvas.light_x > 0:
        side = [(left, top), (left - depth, top + depth * 0.5), (left - depth, base), (left, base)]
    else:
        side = [
            (right, top),
            (right + depth, top + depth * 0.5),
            (right + depth, base),
            (right, base),
        ]
    dark = (facade[0] * 0.6, facade[1] * 0.6, facade[2] * 0.62)
    canvas.polygon(side, dark, 'building', texture='blotches')
    canvas.rectangle(left, top, right, base, facade, 'building', amount=0.05, shade=0.10)
    if canvas.chance(0.45):
        ridge = (right - left) * canvas.uniform(0.15, 0.4)
        eave = (right - left) * 0.05
        roof = canvas.pick([(0.45, 0.20, 0.16), (0.30, 0.30, 0.33), (0.36, 0.26, 0.20)])
        corners = [(left - eave, top), ((left + right) / 2, top - ridge), (right + eave, top)]
        canvas.polygon(corners, roof, 'building', texture='ripples', amount=0.10)
    glass = canvas.pick([(0.18, 0.22, 0.28), (0.45, 0.55, 0.65), (0.85, 0.75, 0.45)])
    cell_w, cell_h = canvas.uniform(18, 34), canvas.uniform(22, 38)
    columns, rows = int((right - left) // cell_w), int((base - top) // cell_h)
    gap_w, gap_h = canvas.uniform(0.2, 0.32), canvas.uniform(0.2, 0.3)
    for row in range(rows):
        for column in range(columns):
            x = left + (right - left) * (column + gap_w) / columns
            y = top + (base - top) * (row + gap_h) / rows
            pane = glass if canvas.chance(0.85) else canvas.pick([glass], 0.12)
            canvas.rectangle(
                x,
                y,
                x + cell_w * (1 - 2 * gap_w),
                y + cell_h * (1 - 2 * gap_h),
                pane,
                'building',
                fall=0.15,
            )


def _tree(canvas: _Canvas, x: float, base: float, size: float) -> None:
    bark = canvas.pick([(0.30, 0.22, 0.15), (0.42, 0.36, 0.30)])
    leaves = canvas.pick(_LEAVES, 0.04)
    trunk = size * canvas.uniform(0.035, 0.06)
    canvas.shadow(x, base, size * 0.35, size * 0.07)
    canvas.polygon(
        [(x - trunk, base), (x - trunk * 0.7, base - size * 0.6), (x + trunk * 0.7, base - size * 0.6), (x + trunk, base)],
        bark, 'tree', texture='blades', amount=0.15, shade=0.2,
    )  # fmt: skip
    radius_x, radius_y = size * canvas.uniform(0.28, 0.40), size * canvas.uniform(0.32, 0.42)
    middle = base - size * 0.62
    left, right = max(0, int(x - 1.3 * radius_x)), min(canvas.width, int(x + 1.3 * radius_x))
    top, bottom = (
        max(0, int(middle - 1.3 * radius_y)),
        min(canvas.height, int(middle + 1.2 * radius_y)),
    )
    if right <= left or bottom <= top:
        return
    across = (np.arange(left, right, dtype=np.float32)[None, :] - x) / radius_x
    down = (np.arange(top, bottom, dtype=np.float32)[:, None] - middle) / radius_y
    rough = canvas.noise['blotches'][top:bottom, left:right]
    if canvas.chance(0.25):
        inside = (1 + down) * 0.5 - np.abs(across) + 0.10 * rough
    else:
        inside = 1 - across**2 - down**2 + 0.28 * rough
    inside = np.where(np.abs(down) < 1.15, inside, -1.0)
    lit = 1 + 0.28 * canvas.light_x * across - 0.28 * down + 0.22 * rough
    colors = np.asarray(leaves, np.float32) * lit[..., None].astype(np.float32)
    canvas.paint(inside > 0.06, left, top, colors, 'tree', amount=0.16)


def _tree_line(canvas: _Canvas, horizon: float) -> None:
    rise = canvas.height * canvas.uniform(0.04, 0.10)
    profile = horizon - rise * (
        1.1 + 0.5 * canvas.noise['clouds'][0] + 0.25 * canvas.noise['blotches'][0]
    )
    top = max(0, int(profile.min()))
    bottom = min(canvas.height, int(horizon) + 4)
    mask = np.arange(top, bottom)[:, None] >= profile[None, :]
    canvas.paint(
        mask,
        0,
        top,
        canvas.pick(_LEAVES[:3], 0.04),
        'tree',
        texture='blotches',
        amount=0.25,
        fall=0.15,
    )


def _water(canvas: _Canvas, corners: Sequence[tuple[float, float]], shore: float) -> None:
    """Fill a polygon with water that mirrors what is above ``shore``."""
    points = np.round(np.asarray(corners)).astype(np.int32)
    top, bottom = max(0, int(points[:, 1].min())), min(canvas.height, int(points[:, 1].max()) + 1)
    mask = np.zeros((bottom - top, canvas.width), np.uint8)
    cv2.fillPoly(mask, [points - (0, top)], 1)
    rows = np.arange(top, bottom)
    mirrored = canvas.image[np.clip((2 * shore - rows).astype(np.int64), 0, canvas.height - 1)]
    mirrored = cv2.blur(mirrored, (5, 9))
    own = np.asarray(
        canvas.pick([(0.16, 0.34, 0.46), (0.20, 0.42, 0.44), (0.26, 0.36, 0.40)], 0.04), np.float32
    )
    share = canvas.uniform(0.3, 0.5)
    canvas.paint(
        mask.view(np.bool_),
        0,
        top,
        mirrored * share + own * (1 - share),
        'water',
        texture='ripples',
        amount=0.16,
    )


def _car(canvas: _Canvas, x: float, base: float, length: float) -> None:
    color = canvas.pick(_CARS, 0.04)
    glass = canvas.pick([(0.14, 0.17, 0.20), (0.40, 0.48, 0.55)], 0.03)
    tyre: Color = (0.06, 0.06, 0.07)
    canvas.shadow(x, base, length * 0.55, length * 0.08, 0.65)
    if canvas.chance(0.6):
        height, wheel = length * canvas.uniform(0.34, 0.44), length * 0.095
        facing = -1.0 if canvas.chance(0.5) else 1.0

        def outline(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
            return [
                (x + facing * px * length, base - wheel * 0.5 - py * height) for px, py in points
            ]

        cabin = canvas.uniform(-0.06, 0.06)
        canvas.polygon(
            outline([(-0.36 + cabin, 0.5), (-0.26 + cabin, 0.97), (0.12 + cabin, 1.0), (0.27 + cabin, 0.55)]),
            color, 'car', fall=0.1,
        )  # fmt: skip
        body = [
            (-0.5, 0.08),
            (-0.5, 0.50),
            (-0.42, 0.58),
            (0.26, 0.58),
            (0.47, 0.46),
            (0.5, 0.30),
            (0.5, 0.08),
        ]
        canvas.polygon(outline(body), color, 'car', shade=0.08, fall=0.25)
        for window in (
            [(-0.31, 0.60), (-0.24, 0.90), (-0.07, 0.92), (-0.07, 0.60)],
            [(-0.04, 0.60), (-0.04, 0.92), (0.11, 0.92), (0.21, 0.60)],
        ):
            canvas.polygon(
                outline([(px + cabin, py) for px, py in window]), glass, 'car', fall=-0.2
            )
        for middle in (-0.31, 0.31):
            hub = x + facing * middle * length
            canvas.ellipse(hub, base - wheel, wheel, wheel, tyre, 'car')
            canvas.ellipse(hub, base - wheel, wheel * 0.5, wheel * 0.5, (0.55, 0.55, 0.57), 'car')
        canvas.polygon(
            outline([(0.44, 0.34), (0.49, 0.34), (0.49, 0.44), (0.44, 0.44)]),
            (0.95, 0.9, 0.7),
            'car',
        )
        return
    width, height = length * 0.62, length * canvas.uniform(0.48, 0.56)
    left, right, top = x - width / 2, x + width / 2, base - height
    for wheel_left in (left + width * 0.05, right - width * 0.22):
        canvas.rectangle(
            wheel_left, base - height * 0.25, wheel_left + width * 0.17, base, tyre, 'car'
        )
    belt = base - height * 0.55
    canvas.polygon(
        [(left + width * 0.04, belt), (left + width * 0.16, top), (right - width * 0.16, top), (right - width * 0.04, belt)],
        color, 'car', fall=0.1,
    )  # fmt: skip
    canvas.polygon(
        [(left, base - height * 0.12), (left, belt + 4), (left + width * 0.05, belt), (right - width * 0.05, belt),
         (right, belt + 4), (right, base - height * 0.12)],
        color, 'car', shade=0.12, fall=0.25,
    )  # fmt: skip
    canvas.polygon(
        [(left + width * 0.12, belt - 1), (left + width * 0.21, top + height * 0.08),
         (right - width * 0.21, top + height * 0.08), (right - width * 0.12, belt - 1)],
        glass, 'car', fall=-0.2,
    )  # fmt: skip
    lamp: Color = (0.85, 0.12, 0.10) if canvas.chance(0.6) else (0.96, 0.94, 0.80)
    for lamp_left in (left + width * 0.04, right - width * 0.20):
        canvas.rectangle(
            lamp_left,
            belt + height * 0.10,
            lamp_left + width * 0.16,
            belt + height * 0.22,
            lamp,
            'car',
        )
    canvas.rectangle(
        x - width * 0.14,
        base - height * 0.27,
        x + width * 0.14,
        base - height * 0.18,
        (0.9, 0.9, 0.85),
        'car',
    )


def _person(canvas: _Canvas, x: float, base: float, height: float) -> None:
    skin, top_color, leg_color = canvas.pick(_SKIN, 0.03), canvas.cloth(), canvas.cloth()
    hair = canvas.pick(
        [(0.10, 0.08, 0.07), (0.35, 0.22, 0.12), (0.75, 0.62, 0.36), (0.6, 0.6, 0.6)], 0.03
    )
    canvas.shadow(x, base, height * 0.22, height * 0.04, 0.55)
    stride, half = canvas.uniform(0.02, 0.12) * height, height * canvas.uniform(0.095, 0.125)
    hip, shoulder = base - height * 0.47, base - height * 0.82

    def limb(
        start: tuple[float, float], end: tuple[float, float], thick: float, color: Color
    ) -> None:
        across = np.array([end[1] - start[1], start[0] - end[0]])
        across = across / max(1e-6, float(np.hypot(*across))) * thick
        (sx, sy), (ex, ey), (ax, ay) = start, end, across
        corners = [
            (sx - ax, sy - ay),
            (sx + ax, sy + ay),
            (ex + 0.75 * ax, ey + 0.75 * ay),
            (ex - 0.75 * ax, ey - 0.75 * ay),
        ]
        canvas.polygon(corners, color, 'person', shade=0.12)

    swing = canvas.uniform(0.06, 0.16) * height
    sleeve = top_color if canvas.chance(0.7) else skin
    limb(
        (x - half * 0.85, shoulder + height * 0.03),
        (x - half - swing * 0.5, hip),
        height * 0.034,
        sleeve,
    )
    if canvas.chance(0.3):
        coat = [
            (x - half * 0.8, hip),
            (x + half * 0.8, hip),
            (x + half * 1.2, base - height * 0.18),
            (x - half * 1.2, base - height * 0.18),
        ]
        limb((x - half * 0.4, hip), (x - half * 0.4, base), height * 0.035, skin)
        limb((x + half * 0.4, hip), (x + half * 0.4, base), height * 0.035, skin)
        canvas.polygon(coat, leg_color, 'person', shade=0.15, fall=0.1)
    else:
        limb((x - half * 0.45, hip - 2), (x - stride, base), height * 0.05, leg_color)
        limb((x + half * 0.45, hip - 2), (x + stride, base), height * 0.05, leg_color)
    torso = [(x - half * 0.75, hip + height * 0.02), (x - half, shoulder + height * 0.05), (x - half * 0.6, shoulder),
             (x + half * 0.6, shoulder), (x + half, shoulder + height * 0.05), (x + half * 0.75, hip + height * 0.02)]  # fmt: skip
    canvas.polygon(torso, top_color, 'person', texture='blotches', amount=0.08, shade=0.18)
    limb(
        (x + half * 0.85, shoulder + height * 0.03),
        (x + half + swing * 0.5, hip),
        height * 0.034,
        sleeve,
    )
    canvas.rectangle(
        x - height * 0.025,
        shoulder - height * 0.04,
        x + height * 0.025,
        shoulder + 2,
        skin,
        'person',
    )
    canvas.ellipse(x, base - height * 0.925, height * 0.062, height * 0.078, hair, 'person')
    turn = canvas.uniform(-0.02, 0.02) * height
    if canvas.chance(0.75):
        canvas.ellipse(
            x + turn,
            base - height * 0.905,
            height * 0.05,
            height * 0.06,
            skin,
            'person',
            shade=0.15,
        )


def _populate(
    canvas: _Canvas, horizon: float, *, cars: int, persons: int, people_height: float
) -> None:
    """Put cars and persons on the ground, the far ones first; sizes shrink towards the horizon."""
    depth = canvas.height - horizon
    things = ['car'] * cars + ['person'] * persons
    canvas.rng.shuffle(things)
    nearness = np.sort(canvas.rng.uniform(0.42, 1.0, len(things)))
    for thing, near in zip(things, nearness, strict=True):
        base = horizon + depth * float(near) * 0.97
        x = canvas.uniform(0.06, 0.94) * canvas.width
        if thing == 'car':
            _car(canvas, x, base, canvas.height * canvas.uniform(0.55, 0.75) * float(near))
        else:
            _person(canvas, x, base, people_height * canvas.uniform(0.85, 1.1) * float(near))


def _street(canvas: _Canvas) -> None:
    height, width = canvas.height, canvas.width
    horizon = height * canvas.uniform(0.36, 0.54)
    _sky(canvas, horizon + 6)
    if canvas.chance(0.6):
        _tree_line(canvas, horizon)
    _grass(canvas, horizon)
    x = canvas.uniform(-0.3, 0.3) * width
    while x < width:
        wide = canvas.uniform(0.2, 0.5) * width
        if canvas.chance(0.72):
            tall = canvas.uniform(0.16, 0.5) * height
            _building(
                canvas, x, x + wide, max(horizon - tall, -20), horizon + canvas.uniform(2, 14)
            )
        x += wide * canvas.uniform(0.9, 1.5)
    asphalt = canvas.pick(
        [(0.36, 0.36, 0.38), (0.46, 0.45, 0.44), (0.28, 0.28, 0.31), (0.52, 0.48, 0.44)], 0.03
    )
    line = (0.85, 0.84, 0.78)
    if canvas.chance(0.6):
        vanish, foot = canvas.uniform(0.25, 0.75) * width, canvas.uniform(0.2, 0.8) * width
        half = canvas.uniform(0.35, 0.8) * width
        top = horizon + height * 0.02
        canvas.polygon(
            [(vanish - 5, top), (vanish + 5, top), (foot + half, height), (foot - half, height)],
            asphalt, 'road', amount=0.06, fall=-0.08,
        )  # fmt: skip
        for start in np.arange(0.08, 1.0, 0.16):
            ends = []
            for step in (start, start + 0.07):
                y = top + (height - top) * step**1.6
                middle = vanish + (foot - vanish) * step**1.6
                ends.append((middle, y, 1 + 5 * step**1.6))
            (x0, y0, w0), (x1, y1, w1) = ends
            canvas.polygon(
                [(x0 - w0, y0), (x0 + w0, y0), (x1 + w1, y1), (x1 - w1, y1)], line, 'road'
            )
    else:
        top = horizon + (height - horizon) * canvas.uniform(0.12, 0.35)
        bottom = top + (height - horizon) * canvas.uniform(0.4, 0.7)
        tilt = canvas.uniform(-0.06, 0.06) * height
        canvas.polygon(
            [(0, top - tilt), (width, top + tilt), (width, bottom + tilt), (0, bottom - tilt)],
            asphalt, 'road', amount=0.06,
        )  # fmt: skip
        middle = (top + bottom) / 2
        for left in np.arange(canvas.uniform(-40, 0), width, 70):
            slope = tilt * (2 * left / width - 1)
            canvas.rectangle(left, middle + slope, left + 36, middle + slope + 5, line, 'road')
    for near in np.sort(canvas.rng.uniform(0.02, 0.5, int(canvas.rng.integers(0, 4)))):
        side = canvas.uniform(0.0, 0.28) if canvas.chance(0.5) else canvas.uniform(0.72, 1.0)
        base = horizon + (height - horizon) * float(near)
        _tree(canvas, side * width, base, height * (0.28 + 0.7 * float(near)))
    _populate(
        canvas, horizon,
        cars=int(canvas.rng.integers(0, 4)), persons=int(canvas.rng.integers(0, 4)), people_height=height * 0.55,
    )  # fmt: skip


def _waterside(canvas: _Canvas) -> None:
    height, width = canvas.height, canvas.width
    horizon = height * canvas.uniform(0.28, 0.46)
    _sky(canvas, horizon + 6)
    if canvas.chance(0.75):
        _tree_line(canvas, horizon)
    _grass(canvas, horizon)
    for _ in range(int(canvas.rng.integers(0, 3))):
        left = canvas.uniform(-0.1, 0.8) * width
        tall = canvas.uniform(0.12, 0.3) * height
        _building(
            canvas, left, left + canvas.uniform(0.2, 0.35) * width, horizon - tall, horizon + 4
        )
    shore = horizon + height * canvas.uniform(0.0, 0.12)
    near_shore = height * canvas.uniform(0.68, 0.92)
    wave = canvas.noise['clouds'][-1] * height * 0.03
    slope = canvas.uniform(-0.10, 0.10) * height
    steps = np.linspace(0, width, 13)
    far = [(x, shore + 0.3 * wave[min(int(x), width - 1)]) for x in steps]
    near = [
        (x, near_shore + slope * (x / width - 0.5) + wave[min(int(x), width - 1)])
        for x in steps[::-1]
    ]
    if canvas.chance(0.3):
        middle = canvas.uniform(0.3, 0.7) * width
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        wobble = 1 + 0.12 * canvas.rng.standard_normal(28)
        depth = (near_shore - shore) / 2
        far = [
            (middle + width * 0.48 * w * np.cos(a), shore + depth + depth * w * 0.9 * np.sin(a))
            for a, w in zip(angle, wobble, strict=True)
        ]
        near = []
    _water(canvas, [*far, *near], shore)
    for near_by in np.sort(canvas.rng.uniform(0.0, 1.0, int(canvas.rng.integers(0, 4)))):
        base = (
            near_shore + (height * 1.05 - near_shore) * float(near_by)
            if canvas.chance(0.6)
            else shore + 2
        )
        size = height * (0.25 if base < near_shore else canvas.uniform(0.5, 0.8))
        _tree(canvas, canvas.uniform(0, 1) * width, base, size)
    for base in np.sort(
        canvas.rng.uniform(near_shore + 8, height + 10, int(canvas.rng.integers(0, 4)))
    ):
        _person(
            canvas,
            canvas.uniform(0.05, 0.95) * width,
            float(base),
            height * canvas.uniform(0.35, 0.6),
        )
    if canvas.chance(0.2):
        _car(
            canvas,
            canvas.uniform(0.15, 0.85) * width,
            height * canvas.uniform(0.93, 0.99),
            height * 0.6,
        )


def _room(canvas: _Canvas) -> None:
    height, width = canvas.height, canvas.width
    skirting = height * canvas.uniform(0.48, 0.66)
    left, right = canvas.uniform(-0.15, 0.3) * width, canvas.uniform(0.7, 1.15) * width
    paint = canvas.pick(_PAINTS)
    vanish = canvas.uniform(0.35, 0.65) * width, skirting - height * canvas.uniform(0.15, 0.3)
    _floor(canvas, skirting, vanish)
    canvas.rectangle(
        0, 0, width, skirting, paint, 'wall', texture='clouds', amount=0.03, shade=0.10
    )
    if canvas.chance(0.45):
        stripe = (paint[0] * 0.9, paint[1] * 0.88, paint[2] * 0.9)
        pitch = canvas.uniform(20, 44)
        for x in np.arange(0, width, pitch):
            canvas.rectangle(
                x,
                0,
                x + pitch * 0.4,
                skirting,
                stripe,
                'wall',
                texture='clouds',
                amount=0.03,
                shade=0.06,
            )
    elif canvas.chance(0.4):
        joint = (paint[0] * 0.8, paint[1] * 0.78, paint[2] * 0.76)
        for row, y in enumerate(np.arange(0, skirting, 16)):
            canvas.rectangle(0, y, width, min(y + 2, skirting), joint, 'wall')
            for x in np.arange(-20 * (row % 2), width, 40):
                canvas.rectangle(x, y, x + 2, min(y + 16, skirting), joint, 'wall')
    for edge, outer, lit in (
        (left, -0.2 * width, canvas.light_x < 0),
        (right, 1.2 * width, canvas.light_x > 0),
    ):
        if not 0 < edge < width:
            continue
        factor = 1.08 if lit else 0.78
        drop = abs(edge - outer) * canvas.uniform(0.35, 0.6)
        color = (paint[0] * factor, paint[1] * factor, paint[2] * factor)
        canvas.polygon(
            [(edge, 0), (outer, 0), (outer, skirting + drop), (edge, skirting)],
            color,
            'wall',
            texture='clouds',
            amount=0.03,
        )
    if canvas.chance(0.6):
        board = (0.92, 0.91, 0.88) if canvas.chance(0.6) else (0.32, 0.22, 0.15)
        canvas.rectangle(max(left, 0), skirting - 9, min(right, width), skirting, board, 'wall')
    for _ in range(int(canvas.rng.integers(0, 3))):
        x, y = (
            canvas.uniform(max(left, 0), min(right, width) - 40),
            canvas.uniform(0.06, 0.22) * height,
        )
        wide, tall = canvas.uniform(0.10, 0.22) * width, canvas.uniform(0.12, 0.24) * height
        canvas.rectangle(
            x - 4,
            y - 4,
            x + wide + 4,
            y + tall + 4,
            canvas.pick([(0.3, 0.2, 0.1), (0.1, 0.1, 0.1)]),
            None,
        )
        canvas.rectangle(
            x, y, x + wide, y + tall, canvas.cloth(), None, texture='clouds', amount=0.35
        )
    if canvas.chance(0.2):
        y0, y1 = (
            skirting + (height - skirting) * share for share in (0.3, canvas.uniform(0.75, 1.0))
        )
        x0, x1 = canvas.uniform(0.0, 0.25) * width, canvas.uniform(0.6, 1.0) * width
        rim, inset = 7, (y1 - y0) * 0.5
        canvas.polygon(
            [(x0 + inset - rim, y0 - rim), (x1 - inset + rim, y0 - rim), (x1 + rim, y1 + rim), (x0 - rim, y1 + rim)],
            (0.86, 0.87, 0.86), 'floor',
        )  # fmt: skip
        _water(canvas, [(x0 + inset, y0), (x1 - inset, y0), (x1, y1), (x0, y1)], y0)
    _populate(
        canvas, skirting - (height - skirting) * 0.35,
        cars=int(canvas.chance(0.22)), persons=int(canvas.rng.integers(0, 5)), people_height=height * 0.85,
    )  # fmt: skip


def _floor(canvas: _Canvas, skirting: float, vanish: tuple[float, float]) -> None:
    height, width = canvas.height, canvas.width
    color = canvas.pick(_FLOORS)
    dark = (color[0] * 0.72, color[1] * 0.72, color[2] * 0.72)
    canvas.rectangle(
        0, skirting, width, height, color, 'floor', texture='blotches', amount=0.07, fall=-0.10
    )
    vanish_x, vanish_y = vanish
    kind = canvas.rng.random()

    def ray(x_at_bottom: float, y: float) -> float:
        return vanish_x + (x_at_bottom - vanish_x) * (y - vanish_y) / (height - vanish_y)

    pitch = canvas.uniform(40, 80)
    feet = np.arange(-2.5 * width, 3.5 * width, pitch)
    depths = vanish_y + (height - vanish_y) / (1 + np.arange(0, 12) * canvas.uniform(0.10, 0.2))
    depths = depths[depths > skirting]
    if kind < 0.4:
        for foot in feet:
            edge = [
                (ray(foot, skirting), skirting),
                (ray(foot + 4, skirting), skirting),
                (foot + 4, height),
                (foot, height),
            ]
            canvas.polygon(edge, dark, 'floor')
    elif kind < 0.75:
        bounds = [*depths, skirting]
        for row, (near, far) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            for foot in feet[row % 2 :: 2]:
                corners = [
                    (ray(foot, near), near),
                    (ray(foot + pitch, near), near),
                    (ray(foot + pitch, far), far),
                    (ray(foot, far), far),
                ]
                canvas.polygon(corners, dark, 'floor', texture='blotches', amount=0.07)
    if canvas.chance(0.4):
        beam = canvas.uniform(0.1, 0.6) * width
        top, bottom = skirting + (height - skirting) * 0.2, skirting + (height - skirting) * 0.8
        lean = -canvas.light_x * width * 0.15
        corners = np.round(
            [(beam, top), (beam + 90, top), (beam + 110 + lean, bottom), (beam + lean, bottom)]
        ).astype(np.int32)
        glow = np.zeros((height, width), np.float32)
        cv2.fillPoly(glow, [corners], 0.35)
        canvas.image *= (
            1 + cv2.blur(glow, (9, 9))[..., None] * (canvas.label == RAW_VALUES['floor'])[..., None]
        )


def _finish(canvas: _Canvas) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    rng, half = canvas.rng, _SUPERSAMPLING
    height, width = canvas.height // half, canvas.width // half
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    samples = (
        canvas.label.reshape(height, half, width, half)
        .transpose(1, 3, 0, 2)
        .reshape(-1, height, width)
    )
    samples = np.sort(samples, axis=0)
    # Of four sorted values, the two in the middle are equal to the first or to the last in a vote of three.
    has_vote = (samples[0] == samples[2]) | (samples[1] == samples[3])
    label = np.where(has_vote, samples[1], UNLABELLED).astype(np.uint8)

    exposure = canvas.uniform(0.82, 1.15)
    tint = rng.normal(1, 0.04, 3).astype(np.float32)
    image = np.clip(image * exposure * tint, 0, 1) ** canvas.uniform(0.85, 1.2)
    if canvas.chance(0.6):
        image = cv2.GaussianBlur(image, (0, 0), canvas.uniform(0.3, 0.9))
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * canvas.uniform(
        0.008, 0.035
    )
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), label
