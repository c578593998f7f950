"""The texture check and the grey levels of regions."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet.io.texture import COARSE_SAMPLES, grid_of, has_texture, texture_of


@pytest.mark.parametrize("layout", [(70, 90, 3), (70, 90, 4), (70, 90, 1), (70, 90)])
@pytest.mark.parametrize("contrast", [0, 8, 9, 250])
def test_many_regions_have_the_same_result_as_single_regions(
    rng: np.random.Generator, layout: tuple[int, ...], contrast: int
) -> None:
    """Regions inside the frame, across its border and outside, from one pixel to the whole frame."""
    frame = np.full(layout, 4, np.uint8)
    frame[::7, 45::9] += contrast
    if len(layout) == 3 and layout[2] == 4:
        frame[..., 3] = rng.integers(0, 256, size=layout[:2])  # alpha does not count
    centres, regions = rng.uniform([-40, -40], [130, 110], size=(400, 2)), rng.uniform(0.2, 250, size=(400, 2))
    expected = [has_texture(frame, centre, region) for centre, region in zip(centres, regions, strict=True)]
    assert any(expected) == (contrast > 8)
    assert not all(expected)
    np.testing.assert_array_equal(texture_of(frame, centres, regions).textured, expected)
    assert not texture_of(frame, centres[:0], regions[:0]).textured.size


@pytest.mark.parametrize("black", [0, 16])
@pytest.mark.parametrize("layout", [(70, 90, 3), (70, 90, 4), (70, 90, 1), (70, 90)])
def test_the_level_is_the_mean_over_a_grid_of_the_region(
    rng: np.random.Generator, layout: tuple[int, ...], black: int
) -> None:
    frame = rng.integers(0, 256, size=layout, dtype=np.uint8)
    centres, regions = rng.uniform([-40, -40], [130, 110], size=(50, 2)), rng.uniform(0.2, 250, size=(50, 2))
    levels, outside = texture_of(frame, centres, regions, black).levels, 0
    for centre, region, level in zip(centres, regions, levels, strict=True):
        (x, y), (right, bottom), (step_x, step_y) = (ends.tolist() for ends in grid_of(layout, centre, region))
        columns, rows = list(range(x, right, step_x)), list(range(y, bottom, step_y))
        if not (columns and rows):
            assert level == 0
            outside += 1
            continue
        spread = [i / (COARSE_SAMPLES - 1) for i in range(COARSE_SAMPLES)]
        pixels = [
            frame[rows[int(v * (len(rows) - 1) + 1e-9)], columns[int(u * (len(columns) - 1) + 1e-9)]]
            for v in spread
            for u in spread
        ]
        colours = np.array(pixels).reshape(len(pixels), -1)[:, :3]
        assert level == pytest.approx(max(colours.mean() - black, 0), abs=1e-9)
    assert 0 < outside < 25


def test_the_level_of_a_region_is_close_to_the_mean_of_its_pixels(frame: np.ndarray) -> None:
    level = texture_of(frame, np.array([[150.0, 110]]), np.array([[99.0, 99]])).levels[0]
    assert level == pytest.approx(frame[60:160, 100:200].mean(), rel=0.06)
