"""Colors for every kind of eye, judged by another model of color vision than the one that chose them."""

import numpy as np
import pytest

from swinseg.visualization.color_blind import DEFICIENCIES, color_blind_palette, distances
from swinseg.visualization.palette import default_palette

# Vienot, Brettel and Mollon 1999, from linear RGB to linear RGB: projections in the space of the cones.
CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
PROTANOPE = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
DEUTERANOPE = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])


def lab(linear):
    """Return CIELAB (D65) of (N, 3) linear sRGB, in float64."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = linear @ to_xyz.T / to_xyz.sum(1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def linear(palette):
    encoded = palette / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def smallest(points):
    gap = np.linalg.norm(points[:, None] - points[None], axis=2)
    return gap[~np.eye(len(points), dtype=bool)].min()


@pytest.mark.parametrize('projection', [np.eye(3), PROTANOPE, DEUTERANOPE])
@pytest.mark.parametrize('count', [8, 12])
def test_color_blind_palette__differs_by_another_model_too(projection, count):
    simulated = np.linalg.inv(CONES) @ projection @ CONES

    def seen(palette):
        return smallest(lab((linear(palette) @ simulated.T).clip(0, 1)))

    # A just noticeable difference is about 2.3.
    assert seen(color_blind_palette(count)) > 12
    assert seen(color_blind_palette(count)) > seen(default_palette(count))


def test_distances__against_float64():
    palette = color_blind_palette(9)
    views = [np.eye(3), *map(np.array, DEFICIENCIES.values())]
    points = [lab((linear(palette) @ view.T).clip(0, 1)) for view in views]
    expected = np.min([np.linalg.norm(p[:, None] - p[None], axis=2) for p in points], axis=0)
    np.testing.assert_allclose(distances(palette), expected, atol=0.05)


@pytest.mark.parametrize('count', [0, 1, 2, 19, 256])
def test_color_blind_palette__colors_differ_and_do_not_depend_on_their_number(count):
    palette = color_blind_palette(count)
    assert palette.shape == (count, 3)
    assert palette.dtype == np.uint8
    assert len({tuple(color) for color in palette.tolist()}) == count
    np.testing.assert_array_equal(palette, color_blind_palette(300)[:count])


def test_color_blind_palette__leaves_black_and_white_to_ignored_and_rejected_pixels():
    palette = color_blind_palette(150)
    lightness = lab(linear(palette))[:, 0]
    assert 24 < lightness.min() < lightness.max() < 93


def test_deficiencies__see_gray_as_gray():
    for matrix in DEFICIENCIES.values():
        np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=2e-6)
