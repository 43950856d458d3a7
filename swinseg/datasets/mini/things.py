"""The things in the scenes of the embedded mini set: buildings, trees, water, cars and persons."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from swinseg.datasets.mini.canvas import Canvas, Color

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


def building(canvas: Canvas, left: float, right: float, top: float, base: float) -> None:
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


def tree(canvas: Canvas, x: float, base: float, size: float) -> None:
    bark = canvas.pick([(0.30, 0.22, 0.15), (0.42, 0.36, 0.30)])
    leaves = canvas.pick(_LEAVES, 0.04)
    trunk, fork = size * canvas.uniform(0.035, 0.06), base - size * 0.6
    canvas.shadow(x, base, size * 0.35, size * 0.07)
    canvas.polygon(
        [(x - trunk, base), (x - trunk * 0.7, fork), (x + trunk * 0.7, fork), (x + trunk, base)],
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


def tree_line(canvas: Canvas, horizon: float) -> None:
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


def water(canvas: Canvas, corners: Sequence[tuple[float, float]], shore: float) -> None:
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


def car(canvas: Canvas, x: float, base: float, length: float) -> None:
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
        [(left + width * 0.04, belt), (left + width * 0.16, top),
         (right - width * 0.16, top), (right - width * 0.04, belt)],
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


def person(canvas: Canvas, x: float, base: float, height: float) -> None:
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
    waist, armpit = hip + height * 0.02, shoulder + height * 0.05
    torso = [
        (x - half * 0.75, waist),
        (x - half, armpit),
        (x - half * 0.6, shoulder),
        (x + half * 0.6, shoulder),
        (x + half, armpit),
        (x + half * 0.75, waist),
    ]
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
