"""Canvas of the embedded mini set's scenes: a picture, its labels, light and textures.

A scene is painted back to front at twice its size, then halved: the image by averaging, the label by a vote
of the four samples. Where no class has three of them the pixel is unlabeled.

Lengths are in samples (half pixels) and colors are RGB from 0 to 1 until the scene is finished.
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

UNLABELED = 0

Array = npt.NDArray[np.float32]
Color = tuple[float, float, float]
Texture = Literal['grain', 'blotches', 'clouds', 'ripples', 'blades']


_SUPERSAMPLING = 2


class Canvas:
    """The picture in progress, its labels, its light, and the noise that textures are cut from.

    Args:
        rng: all that is random comes from here.
        height: of the finished image, in pixels.
        width: likewise.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        height, width = height * _SUPERSAMPLING, width * _SUPERSAMPLING
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
        """Return one of the colors, a little different each time."""
        base = colors[int(self.rng.integers(len(colors)))]
        shift = self.rng.normal(0, spread, 3) * 0.6 + self.rng.normal(0, spread)
        red, green, blue = (float(v) for v in np.clip(np.array(base) + shift, 0.03, 0.97))
        return red, green, blue

    def cloth(self) -> Color:
        """Return the color of a garment."""
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
            color: one color, or (h, w, 3).
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
        self.label[window][mask] = UNLABELED if class_name is None else RAW_VALUES[class_name]

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

    def finish(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Halve the picture, add the faults of a camera, and let the four samples of a pixel vote for its label.

        Returns:
            The image, (height, width, 3) uint8 RGB, and its label, (height, width) uint8.
        """
        rng, half = self.rng, _SUPERSAMPLING
        height, width = self.height // half, self.width // half
        image = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)
        samples = (
            self.label.reshape(height, half, width, half)
            .transpose(1, 3, 0, 2)
            .reshape(-1, height, width)
        )
        samples = np.sort(samples, axis=0)
        # Of four sorted values, the two in the middle are equal to the first or to the last in a vote of three.
        has_vote = (samples[0] == samples[2]) | (samples[1] == samples[3])
        label = np.where(has_vote, samples[1], UNLABELED).astype(np.uint8)

        exposure = self.uniform(0.82, 1.15)
        tint = rng.normal(1, 0.04, 3).astype(np.float32)
        image = np.clip(image * exposure * tint, 0, 1) ** self.uniform(0.85, 1.2)
        if self.chance(0.6):
            image = cv2.GaussianBlur(image, (0, 0), self.uniform(0.3, 0.9))
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * self.uniform(
            0.008, 0.035
        )
        return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), label
