"""The texture check."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet.io.texture import has_texture, have_texture


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
    np.testing.assert_array_equal(have_texture(frame, centres, regions), expected)
    assert not have_texture(frame, centres[:0], regions[:0]).size
