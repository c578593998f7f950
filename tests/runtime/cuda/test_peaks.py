"""Peaks of response maps that the device reads, against `filter.response`, which reads them on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet.devices.selection import open_backend
from dcfnet.filter.response import Peak, read_maps

from tests.runtime.cuda.host import HostKernels

PENALTY = 0.9925


def checked_peaks(maps: np.ndarray, penalty: float = PENALTY, position_maps: np.ndarray | None = None) -> Peak:
    """The peaks from the device. Fails unless the scale equals that of the host, and all other numbers to 1e-5."""
    backend, maps = open_backend("cuda"), maps.astype(np.float32)
    maps_on_device = positions_on_device = backend.asarray(maps)
    positions = maps
    if position_maps is not None:
        positions = position_maps.astype(np.float32)
        positions_on_device = backend.asarray(positions)
    first = np.random.default_rng(1).normal(size=(len(maps), 1, *maps.shape[2:])).astype(np.float32)
    first[::7] = np.nan
    with np.errstate(invalid="ignore"):
        expected_winner, expected = read_maps(maps, positions, first, penalty)
    winner, found = backend.read_peaks(maps_on_device, positions_on_device, backend.asarray(first), penalty)
    np.testing.assert_array_equal(winner, expected_winner)
    assert winner.dtype == np.intp
    for name, values in vars(expected).items():
        assert getattr(found, name).dtype == np.float64
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-5, atol=1e-9, err_msg=name)
    return found


def gaussian_maps(rng: np.random.Generator, count: int, scales: int, noise: float = 0.02, side: int = 64) -> np.ndarray:
    """Typical response maps: a Gaussian of some pixels at any position, wrapped around, with noise and an offset."""
    ys, xs = rng.uniform(0, side, size=(2, count, scales, 1, 1))
    rows, columns = ((np.arange(side) - centre + side / 2) % side - side / 2 for centre in (ys, xs))
    heights = rng.uniform(0.2, 1, size=(count, scales, 1, 1))
    maps = heights * np.exp(-(rows.swapaxes(2, 3) ** 2 + columns**2) / 18)
    return maps + rng.normal(rng.uniform(-1, 1), noise, size=maps.shape)


@pytest.mark.parametrize("scales", [1, 3, 5])
@pytest.mark.parametrize("noise", [1e-4, 0.02, 1.0])
def test_peaks_equal_those_of_the_host(place: str, rng: np.random.Generator, scales: int, noise: float) -> None:
    found = checked_peaks(gaussian_maps(rng, 20, scales, noise))
    assert (found.psr > 1).all()
    assert np.unique(found.shift).size == 40  # shifts have fractions of a pixel


@pytest.mark.parametrize("scales", [1, 3])
def test_position_maps_give_the_position_and_response_maps_the_psr(
    place: str, rng: np.random.Generator, scales: int
) -> None:
    maps, broad = gaussian_maps(rng, 20, scales), gaussian_maps(rng, 20, 1, noise=0.1)
    position_maps = 0.4 * maps + 0.6 * broad
    found, without = checked_peaks(maps, position_maps=position_maps), checked_peaks(maps)
    np.testing.assert_array_equal(found.psr, without.psr)
    np.testing.assert_array_equal(found.apce, without.apce)
    moved = np.abs(found.shift - without.shift).max(axis=1)
    assert 2 < (moved > 2).sum() < 20  # some shifts move to other peaks, the others by fractions of a pixel
    assert (moved > 0).all()
    for invalid in (np.nan, np.inf):
        position_maps[3, :, 5, 5] = invalid
        found = checked_peaks(maps, position_maps=position_maps)
        assert not found.shift[3].any()
        assert found.value[3] == 0
        assert found.psr[3] == without.psr[3]


@pytest.mark.parametrize("peak", [(0, 0), (0, 63), (63, 0), (63, 63), (32, 32), (0, 31), (33, 2), (62, 61)])
def test_a_peak_at_the_border_wraps_around(place: str, rng: np.random.Generator, peak: tuple[int, int]) -> None:
    """Its window wraps too. Shifts beyond 32 are negative. The level at (32, 32) is the pivot of the sums."""
    maps = rng.normal(0.1, 0.01, size=(1, 1, 64, 64))
    rows, columns = ((np.arange(64) - position + 32) % 64 - 32 for position in peak)
    maps[0, 0] += np.exp(-(rows[:, None] ** 2 + columns**2) / 8)
    found = checked_peaks(maps)
    expected = [position if position <= 32 else position - 64 for position in peak[::-1]]
    np.testing.assert_allclose(found.shift[0], expected, atol=0.2)


def test_the_middle_scale_and_the_first_pixel_win_ties(place: str) -> None:
    maps = np.zeros((3, 5, 64, 64))
    maps[0, :, 20, [7, 30]] = 1.0  # equal at all scales and at two pixels of a row
    maps[1, [0, 4], 9, 9] = maps[1, [0, 4], 50, 3] = 1.0  # equal at the outer scales and in two rows
    maps[2, [1, 3], 40, 40], maps[2, 2, 40, 40] = 1.005, 1.0  # higher at other scales, but by less than the penalty
    found = checked_peaks(maps)
    np.testing.assert_array_equal(found.shift, [[7, 20], [9, 9], [-24, -24]])
    checked_peaks(maps, penalty=1.0)


@pytest.mark.parametrize("level", [0.0, 0.1, -3.3, 1e-20])
def test_the_psr_and_apce_of_a_flat_map_are_0(place: str, level: float) -> None:
    found = checked_peaks(np.full((2, 3, 64, 64), level))
    assert not found.psr.any()
    assert not found.apce.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", [0, 1, 2])
def test_the_peak_of_an_invalid_map_is_0(place: str, rng: np.random.Generator, value: float, scale: int) -> None:
    maps = gaussian_maps(rng, 2, 3)
    maps[1, scale, 17, 60] = value
    invalid = checked_peaks(maps).value[1] == 0
    assert invalid == (value != -np.inf or maps[1].max(axis=(1, 2)).argmax() == scale)
    maps[1] = value
    found = checked_peaks(maps)
    assert not any(values[1].any() for values in vars(found).values())
    assert found.value[0] != 0


@pytest.mark.parametrize("side", [1, 2, 3, 5, 7, 8, 13])
def test_peaks_of_maps_of_other_sides_equal_those_of_the_host(place: str, rng: np.random.Generator, side: int) -> None:
    """Maps of up to 7 pixels have no sidelobe, so their PSR is 0."""
    assert checked_peaks(gaussian_maps(rng, 4, 3, side=side)).psr.any() == (side > 7)


@pytest.mark.parametrize("backwards", [False, True])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, backwards: bool
) -> None:
    """The peaks are correct in both orders of the threads between two barriers."""
    monkeypatch.setattr(host_kernels, "backwards", backwards)
    maps = gaussian_maps(rng, 4, 3)
    checked_peaks(maps, position_maps=0.4 * maps + 0.6 * gaussian_maps(rng, 4, 1, noise=0.1))


def test_seven_numbers_per_target_are_copied_to_the_host(
    place: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, copied = open_backend("cuda"), []
    real: Any = backend._device.to_host  # type: ignore[attr-defined]
    monkeypatch.setattr(
        backend._device,  # type: ignore[attr-defined]
        "to_host",
        lambda array: copied.append(array.shape) or real(array),
    )
    maps = backend.asarray(gaussian_maps(rng, 9, 3).astype(np.float32))
    backend.read_peaks(maps, maps, maps[:, :1].copy(), PENALTY)
    assert copied == [(9, 7)]
