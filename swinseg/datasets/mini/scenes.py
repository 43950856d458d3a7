"""The scenes of the embedded mini set: streets, lakesides and rooms, each pixel with its class."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from swinseg.datasets.mini.canvas import RAW_VALUES, Canvas, Color, Texture
from swinseg.datasets.mini.things import building, car, person, tree, tree_line, water

_SKIES: tuple[tuple[Color, Color], ...] = (
    ((0.22, 0.45, 0.82), (0.70, 0.83, 0.95)),
    ((0.35, 0.55, 0.85), (0.85, 0.90, 0.95)),
    ((0.60, 0.64, 0.70), (0.83, 0.85, 0.87)),
    ((0.36, 0.38, 0.58), (0.97, 0.70, 0.48)),
    ((0.20, 0.24, 0.42), (0.62, 0.56, 0.66)),
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
    canvas = Canvas(rng, height, width)
    kind = rng.random()
    if kind < 0.46:
        _street(canvas)
    elif kind < 0.68:
        _waterside(canvas)
    else:
        _room(canvas)
    return canvas.finish()


def _sky(canvas: Canvas, horizon: float) -> None:
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


def _ground(canvas: Canvas, top: float, color: Color, class_name: str, *, texture: Texture) -> None:
    edge = [
        (x, top + canvas.height * 0.012 * canvas.noise['clouds'][0, min(int(x), canvas.width - 1)])
        for x in np.linspace(0, canvas.width, 9)
    ]
    corners = [(0.0, float(canvas.height)), *edge, (float(canvas.width), float(canvas.height))]
    canvas.polygon(corners, color, class_name, texture=texture, amount=0.10, fall=-0.06)


def _grass(canvas: Canvas, top: float) -> None:
    color = canvas.pick(
        [(0.36, 0.52, 0.18), (0.45, 0.56, 0.24), (0.54, 0.54, 0.26), (0.28, 0.46, 0.16)]
    )
    _ground(canvas, top, color, 'grass', texture='blades')


def _populate(
    canvas: Canvas,
    horizon: float,
    *,
    cars: int,
    persons: int,
    people_height: float,
    avoid: tuple[float, float] | None = None,
) -> None:
    """Put cars and persons on the ground, the far ones first; sizes shrink towards the horizon.

    Nobody stands on the rows between ``avoid``: those who would, stand in front.
    """
    depth = canvas.height - horizon
    things = ['car'] * cars + ['person'] * persons
    canvas.rng.shuffle(things)
    nearness = np.sort(canvas.rng.uniform(0.42, 1.0, len(things)))
    for thing, near in zip(things, nearness, strict=True):
        base = horizon + depth * float(near) * 0.97
        if avoid is not None and avoid[0] < base < avoid[1]:
            base = avoid[1]
        x = canvas.uniform(0.06, 0.94) * canvas.width
        if thing == 'car':
            car(canvas, x, base, canvas.height * canvas.uniform(0.55, 0.75) * float(near))
        else:
            person(canvas, x, base, people_height * canvas.uniform(0.85, 1.1) * float(near))


def _street(canvas: Canvas) -> None:
    height, width = canvas.height, canvas.width
    horizon = height * canvas.uniform(0.36, 0.54)
    _sky(canvas, horizon + 6)
    if canvas.chance(0.6):
        tree_line(canvas, horizon)
    _grass(canvas, horizon)
    x = canvas.uniform(-0.3, 0.3) * width
    while x < width:
        wide = canvas.uniform(0.2, 0.5) * width
        if canvas.chance(0.72):
            tall = canvas.uniform(0.16, 0.5) * height
            building(canvas, x, x + wide, max(horizon - tall, -20), horizon + canvas.uniform(2, 14))
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
        tree(canvas, side * width, base, height * (0.28 + 0.7 * float(near)))
    _populate(
        canvas, horizon,
        cars=int(canvas.rng.integers(0, 4)), persons=int(canvas.rng.integers(0, 4)), people_height=height * 0.55,
    )  # fmt: skip


def _waterside(canvas: Canvas) -> None:
    height, width = canvas.height, canvas.width
    horizon = height * canvas.uniform(0.28, 0.46)
    _sky(canvas, horizon + 6)
    if canvas.chance(0.75):
        tree_line(canvas, horizon)
    _grass(canvas, horizon)
    for _ in range(int(canvas.rng.integers(0, 3))):
        left = canvas.uniform(-0.1, 0.8) * width
        tall = canvas.uniform(0.12, 0.3) * height
        building(
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
    water(canvas, [*far, *near], shore)
    for near_by in np.sort(canvas.rng.uniform(0.0, 1.0, int(canvas.rng.integers(0, 4)))):
        base = (
            near_shore + (height * 1.05 - near_shore) * float(near_by)
            if canvas.chance(0.6)
            else shore + 2
        )
        size = height * (0.25 if base < near_shore else canvas.uniform(0.5, 0.8))
        tree(canvas, canvas.uniform(0, 1) * width, base, size)
    for base in np.sort(
        canvas.rng.uniform(near_shore + 8, height + 10, int(canvas.rng.integers(0, 4)))
    ):
        person(
            canvas,
            canvas.uniform(0.05, 0.95) * width,
            float(base),
            height * canvas.uniform(0.35, 0.6),
        )
    if canvas.chance(0.2):
        car(
            canvas,
            canvas.uniform(0.15, 0.85) * width,
            height * canvas.uniform(0.93, 0.99),
            height * 0.6,
        )


def _room(canvas: Canvas) -> None:
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
        for row, y in enumerate(np.arange(0.0, skirting, 16)):
            canvas.rectangle(0, y, width, min(y + 2, skirting), joint, 'wall')
            for x in np.arange(-20.0 * (row % 2), width, 40):
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
    pool = None
    if canvas.chance(0.2):
        y0, y1 = (
            skirting + (height - skirting) * share for share in (0.3, canvas.uniform(0.75, 1.0))
        )
        x0, x1 = canvas.uniform(0.0, 0.25) * width, canvas.uniform(0.6, 1.0) * width
        rim, inset = 7, (y1 - y0) * 0.5
        canvas.polygon(
            [(x0 + inset - rim, y0 - rim), (x1 - inset + rim, y0 - rim),
             (x1 + rim, y1 + rim), (x0 - rim, y1 + rim)],
            (0.86, 0.87, 0.86), 'floor',
        )  # fmt: skip
        water(canvas, [(x0 + inset, y0), (x1 - inset, y0), (x1, y1), (x0, y1)], y0)
        pool = y0 - rim, y1 + rim
    _populate(
        canvas, skirting - (height - skirting) * 0.35,
        cars=int(pool is None and canvas.chance(0.27)), persons=int(canvas.rng.integers(0, 5)),
        people_height=height * 0.85, avoid=pool,
    )  # fmt: skip


def _floor(canvas: Canvas, skirting: float, vanish: tuple[float, float]) -> None:
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
        for row, (near, far) in enumerate(pairwise(bounds)):
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
        beam_corners = np.round(
            [(beam, top), (beam + 90, top), (beam + 110 + lean, bottom), (beam + lean, bottom)]
        ).astype(np.int32)
        glow = np.zeros((height, width), np.float32)
        cv2.fillPoly(glow, [beam_corners], 0.35)
        canvas.image *= (
            1 + cv2.blur(glow, (9, 9))[..., None] * (canvas.label == RAW_VALUES['floor'])[..., None]
        )
