"""Peaks of response maps."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet.filter.response import best_scale, find_peaks
from dcfnet.filter.windows import cosine_window, gaussian_label


def bump(height: int, width: int, x: float, y: float, sigma: float = 3.0) -> np.ndarray:
    """A Gaussian response with its peak at the signed shift (x, y), (1, H, W)."""
    rows = (np.arange(height) - y + height / 2) % height - height / 2
    columns = (np.arange(width) - x + width / 2) % width - width / 2
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns**2) / sigma**2)[None]


@pytest.mark.parametrize(("height", "width"), [(125, 125), (64, 64), (50, 41)])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, -3), (-20, 19), (0.3, -0.4), (-7.25, 11.5), (-0.2, 0.45)])
def test_a_peak_is_located_to_a_fraction_of_a_pixel(height: int, width: int, x: float, y: float) -> None:
    peak = find_peaks(bump(height, width, x, y))
    np.testing.assert_allclose(peak.shift, [[x, y]], atol=0.03)
    assert peak.value[0] == pytest.approx(1, abs=0.05)


def test_the_label_has_its_peak_at_shift_zero() -> None:
    label = gaussian_label(125, 125, 4.17)
    assert label[0, 0] == 1
    np.testing.assert_array_equal(find_peaks(label[None]).shift, [[0, 0]])
    np.testing.assert_allclose(label[1, 2], np.exp(-0.5 * 5 / 4.17**2), rtol=1e-6)
    np.testing.assert_allclose(label[-1, -2], label[1, 2], rtol=1e-6)


def test_the_cosine_window_is_1_in_the_middle_and_0_at_the_border() -> None:
    window = cosine_window(63)
    assert window[31] == pytest.approx(1)
    assert window[0] == window[-1] == 0
    np.testing.assert_allclose(window, window[::-1])


def test_psr_and_apce_equal_their_definitions(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(1, 40, 50)) * 0.1
    maps[0, 2, 48] = 3.0  # its excluded window wraps around two borders
    distance_y = np.minimum((np.arange(40) - 2) % 40, (2 - np.arange(40)) % 40) > 3
    distance_x = np.minimum((np.arange(50) - 48) % 50, (48 - np.arange(50)) % 50) > 3
    sidelobe = maps[0][distance_y[:, None] | distance_x]
    assert sidelobe.size == 40 * 50 - 49
    peak = find_peaks(maps)
    assert peak.psr[0] == pytest.approx((3.0 - sidelobe.mean()) / sidelobe.std())
    low = maps.min()
    assert peak.apce[0] == pytest.approx((3.0 - low) ** 2 / ((maps - low) ** 2).mean())


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf])
def test_a_flat_or_invalid_map_has_no_shift_and_a_psr_of_0(value: float) -> None:
    peak = find_peaks(np.full((2, 32, 32), value))
    np.testing.assert_array_equal(peak.shift, 0)
    np.testing.assert_array_equal(peak.psr, 0)
    np.testing.assert_array_equal(peak.apce, 0)


@pytest.mark.parametrize("side", [5, 7])
def test_a_map_as_small_as_the_excluded_window_has_a_psr_of_0(side: int) -> None:
    assert find_peaks(bump(side, side, 1, 0, sigma=1.0)).psr == 0


def test_maps_of_a_batch_are_independent(rng: np.random.Generator) -> None:
    maps = np.concatenate([bump(31, 31, 4, -2), np.full((1, 31, 31), np.nan), bump(31, 31, -6, 3)])
    np.testing.assert_allclose(find_peaks(maps).shift, [[4, -2], [0, 0], [-6, 3]], atol=0.03)


def test_the_middle_scale_wins_a_tie_and_other_scales_have_a_penalty() -> None:
    maps = np.zeros((3, 5, 8, 8))
    maps[0, :, 0, 0] = 1.0  # all equal
    maps[1, 3, 0, 0], maps[1, 2, 0, 0] = 1.005, 1.0  # higher, but by less than the penalty
    maps[2, 0, 0, 0], maps[2, 2, 0, 0] = 1.1, 1.0  # two steps from the middle, higher by more than the penalty squared
    np.testing.assert_array_equal(best_scale(maps, 0.9925), [2, 2, 0])
