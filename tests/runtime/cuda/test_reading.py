"""Response maps read on the device, against response.py, which reads them on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet.backend import select
from dcfnet.response import Peak, read_maps

from tests.runtime.cuda.host import HostKernels

PENALTY = 0.9925


def agree(maps: np.ndarray, penalty: float = PENALTY, placed: np.ndarray | None = None) -> Peak:
    """The peaks, once both agree: the scale exactly, all else to 1e-5."""
    backend, maps = select("cuda"), maps.astype(np.float32)
    on_device = backend.asarray(maps)
    given = (
        (maps, on_device) if placed is None else (placed.astype(np.float32), backend.asarray(placed.astype(np.float32)))
    )
    with np.errstate(invalid="ignore"):
        expected_winner, expected = read_maps(maps, given[0], penalty)
    winner, found = backend.read(on_device, given[1], penalty)
    np.testing.assert_array_equal(winner, expected_winner)
    assert winner.dtype == np.intp
    for name, values in vars(expected).items():
        assert getattr(found, name).dtype == np.float64
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-5, atol=1e-9, err_msg=name)
    return found


def bumps(rng: np.random.Generator, count: int, scales: int, noise: float = 0.02, side: int = 64) -> np.ndarray:
    """Responses as they are: a Gaussian of some pixels anywhere, wrapped, on noise and an offset."""
    ys, xs = rng.uniform(0, side, size=(2, count, scales, 1, 1))
    rows, columns = ((np.arange(side) - place + side / 2) % side - side / 2 for place in (ys, xs))
    heights = rng.uniform(0.2, 1, size=(count, scales, 1, 1))
    maps = heights * np.exp(-(rows.swapaxes(2, 3) ** 2 + columns**2) / 18)
    return maps + rng.normal(rng.uniform(-1, 1), noise, size=maps.shape)


@pytest.mark.parametrize("scales", [1, 3, 5])
@pytest.mark.parametrize("noise", [1e-4, 0.02, 1.0])
def test_peaks_are_those_of_the_host(place: str, rng: np.random.Generator, scales: int, noise: float) -> None:
    found = agree(bumps(rng, 20, scales, noise))
    assert (found.psr > 1).all()
    assert np.unique(found.shift).size == 40  # to fractions of a pixel


@pytest.mark.parametrize("scales", [1, 3])
def test_another_answer_says_where_and_the_maps_how_surely(place: str, rng: np.random.Generator, scales: int) -> None:
    maps, broad = bumps(rng, 20, scales), bumps(rng, 20, 1, noise=0.1)
    both = 0.4 * maps + 0.6 * broad
    found, alone = agree(maps, placed=both), agree(maps)
    np.testing.assert_array_equal(found.psr, alone.psr)
    np.testing.assert_array_equal(found.apce, alone.apce)
    moved = np.abs(found.shift - alone.shift).max(axis=1)
    assert 2 < (moved > 2).sum() < 20  # to other peaks in some; else by fractions of a pixel
    assert (moved > 0).all()
    for broken in (np.nan, np.inf):
        both[3, :, 5, 5] = broken
        found = agree(maps, placed=both)
        assert not found.shift[3].any()
        assert found.value[3] == 0
        assert found.psr[3] == alone.psr[3]


@pytest.mark.parametrize("at", [(0, 0), (0, 63), (63, 0), (63, 63), (32, 32), (0, 31), (33, 2), (62, 61)])
def test_a_peak_on_the_border_wraps(place: str, rng: np.random.Generator, at: tuple[int, int]) -> None:
    """So does its window, and its shift turns its sign half way; (32, 32) is also what sums are taken against."""
    maps = rng.normal(0.1, 0.01, size=(1, 1, 64, 64))
    rows, columns = ((np.arange(64) - place + 32) % 64 - 32 for place in at)
    maps[0, 0] += np.exp(-(rows[:, None] ** 2 + columns**2) / 8)
    found = agree(maps)
    np.testing.assert_allclose(found.shift[0], [place if place <= 32 else place - 64 for place in at[::-1]], atol=0.2)


def test_ties_go_to_the_middle_scale_and_the_first_pixel(place: str) -> None:
    maps = np.zeros((3, 5, 64, 64))
    maps[0, :, 20, [7, 30]] = 1.0  # level at all scales and at two places of one row
    maps[1, [0, 4], 9, 9] = maps[1, [0, 4], 50, 3] = 1.0  # equally far off, and at two rows
    maps[2, [1, 3], 40, 40], maps[2, 2, 40, 40] = 1.005, 1.0  # better, but not by the penalty
    found = agree(maps)
    np.testing.assert_array_equal(found.shift, [[7, 20], [9, 9], [-24, -24]])
    agree(maps, penalty=1.0)


@pytest.mark.parametrize("level", [0.0, 0.1, -3.3, 1e-20])
def test_a_flat_map_has_no_confidence(place: str, level: float) -> None:
    found = agree(np.full((2, 3, 64, 64), level))
    assert not found.psr.any()
    assert not found.apce.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", [0, 1, 2])
def test_a_broken_map_moves_nothing(place: str, rng: np.random.Generator, value: float, scale: int) -> None:
    maps = bumps(rng, 2, 3)
    maps[1, scale, 17, 60] = value
    wins = agree(maps).value[1] == 0
    assert wins == (value != -np.inf or maps[1].max(axis=(1, 2)).argmax() == scale)
    maps[1] = value
    found = agree(maps)
    assert not any(values[1].any() for values in vars(found).values())
    assert found.value[0] != 0


@pytest.mark.parametrize("side", [1, 2, 3, 5, 7, 8, 13])
def test_maps_of_other_sides_are_read_alike(place: str, rng: np.random.Generator, side: int) -> None:
    """Up to the window around a peak, where there is no sidelobe."""
    assert agree(bumps(rng, 4, 3, side=side)).psr.any() == (side > 7)


@pytest.mark.parametrize("backwards", [False, True])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, backwards: bool
) -> None:
    """Whichever thread comes first between two barriers."""
    monkeypatch.setattr(host_kernels, "backwards", backwards)
    maps = bumps(rng, 4, 3)
    agree(maps, placed=0.4 * maps + 0.6 * bumps(rng, 4, 1, noise=0.1))


def test_only_what_is_read_comes_back(place: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, copied = select("cuda"), []
    real: Any = backend._device.to_host  # type: ignore[attr-defined]
    monkeypatch.setattr(
        backend._device,  # type: ignore[attr-defined]
        "to_host",
        lambda array: copied.append(array.shape) or real(array),
    )
    maps = backend.asarray(bumps(rng, 9, 3).astype(np.float32))
    backend.read(maps, maps, PENALTY)
    assert copied == [(9, 6)]
