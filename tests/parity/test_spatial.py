"""The focused filter against a dense solution of the same equations in pixels."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter import dcf
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import Transform, label_spectrum

SIDE, BAND = 24, 6
asarray = CpuBackend().asarray
LABEL = label_spectrum(SIDE, 1.5, BAND)


def penalty(weight: float = 1.0, steps: int = 2, extent: float = 5.0, temporal: float = 0.0) -> SpatialPenalty:
    return SpatialPenalty.build(SIDE, BAND, extent, weight, temporal, steps, asarray)


def waves() -> tuple[np.ndarray, np.ndarray]:
    """Real maps of all frequencies of the band, (n, SIDE, SIDE), and their spectra without a window."""
    y, x = np.mgrid[:SIDE, :SIDE] * 2 * np.pi / SIDE
    maps = [
        wave(v * y + u * x)
        for u in range(BAND + 1)
        for v in range(-BAND, BAND + 1)
        for wave in (np.cos, np.sin)
        if u or v > 0 or (v == 0 and wave is np.cos)
    ]
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), asarray)
    return np.array(maps), transform.forward(np.array(maps, dtype=np.float32))


def mask(extent: float) -> np.ndarray:
    """m^2 at the pixels, (SIDE, SIDE)."""
    m = np.exp(-((np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / extent) ** 4))
    return np.outer(m, m) ** 2


def test_the_penalty_multiplies_maps_by_one_minus_the_squared_mask() -> None:
    maps, spectra = waves()
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), asarray)
    expected = transform.forward((maps * (1 - mask(5.0))).astype(np.float32))
    np.testing.assert_allclose(spectra - penalty().masked(spectra), expected, atol=2e-3 * np.abs(spectra).max())


def random_templates(rng: np.random.Generator, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of the templates of two targets, and their numerators."""
    transform = Transform.build(SIDE, BAND, SIDE, np.hanning(SIDE), asarray)
    template_f = transform.forward(rng.normal(size=(2, channels, SIDE, SIDE)).astype(np.float32) * 10)
    return template_f, dcf.learn(template_f, LABEL)[0]


@pytest.mark.parametrize(("weight", "temporal"), [(0.1, 0.0), (2.0, 0.0), (1.0, 3.0), (0.0, 0.5)])
def test_the_solution_equals_the_dense_least_squares_solution(
    rng: np.random.Generator, weight: float, temporal: float
) -> None:
    """Dense least squares over the waves of the band in all channels."""
    channels, regularisation = 2, 0.1
    template_f, numerator = (a[:1] for a in random_templates(rng, channels))
    before = random_templates(rng, channels)[1][:1] / 50
    maps, spectra = waves()
    waves_of = [(c, n) for c in range(channels) for n in range(len(maps))]
    mean = dcf.energy(template_f).mean()
    gamma, mu = weight * mean, temporal * mean
    twice = np.where(np.arange(BAND + 1) == 0, 1, 2)

    def inner(one: np.ndarray, other: np.ndarray) -> float:
        return float(((np.conj(one) * other).real * twice).sum()) / SIDE**2  # Parseval: a sum over pixels

    normal, right = np.zeros((len(waves_of), len(waves_of))), np.zeros(len(waves_of))
    for i, (c, n) in enumerate(waves_of):
        right[i] = inner(spectra[n], numerator[0, c]) + mu * inner(spectra[n], before[0, c])
        for j, (d, m) in enumerate(waves_of):
            normal[i, j] = inner(np.conj(template_f[0, c]) * spectra[n], np.conj(template_f[0, d]) * spectra[m])
            if c == d:
                background = (maps[n] * maps[m] * (1 - mask(5.0))).sum()
                normal[i, j] += (regularisation + mu) * inner(spectra[n], spectra[m]) + gamma * background
    solved = np.linalg.solve(normal, right).reshape(channels, len(maps))
    expected = np.einsum("cn,nkb->ckb", solved, spectra)
    filter_f = penalty(weight, 200, temporal=temporal).solve(template_f, numerator, regularisation, before)
    np.testing.assert_allclose(filter_f[0], expected, atol=5e-3 * np.abs(expected).max())


def test_without_a_penalty_the_solution_is_the_closed_form(rng: np.random.Generator) -> None:
    template_f, numerator = random_templates(rng)
    regularisation = 0.01 * float(dcf.energy(template_f).mean())  # large enough for float32 without a penalty
    closed_form = dcf.solve(*dcf.learn(template_f, LABEL), regularisation)
    tolerance = 5e-3 * np.abs(closed_form).max()
    none = penalty(weight=0.0).solve(template_f, numerator, regularisation)
    np.testing.assert_allclose(none, closed_form, atol=tolerance)
    wide = penalty(steps=200, extent=500.0).solve(template_f, numerator, regularisation, 0 * numerator)
    np.testing.assert_allclose(wide, closed_form, atol=tolerance)


def test_a_higher_temporal_penalty_gives_smaller_changes_of_the_filter(rng: np.random.Generator) -> None:
    template_f, numerator = random_templates(rng)
    before = penalty().solve(*random_templates(rng), 0.1)
    free = penalty(steps=50).solve(template_f, numerator, 0.1, before)
    penalties = [0.0, 1.0, 10.0, 1000.0]
    changes = [
        float(np.abs(penalty(steps=50, temporal=mu).solve(template_f, numerator, 0.1, before) - before).max())
        for mu in penalties
    ]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < 0.02 * np.abs(free - before).max()


def test_a_higher_background_penalty_gives_less_energy_outside_the_target(rng: np.random.Generator) -> None:
    template_f, numerator = random_templates(rng)
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), asarray)

    def outside(filter_f: np.ndarray) -> float:
        energy = transform.inverse(filter_f) ** 2
        return float((energy * (1 - mask(5.0))).sum() / energy.sum())

    closed_form, light, heavy = (
        outside(penalty(weight).solve(template_f, numerator, 0.1)) for weight in (0.0, 0.3, 3.0)
    )
    assert light < 0.9 * closed_form
    assert heavy < 0.6 * light


def test_an_empty_channel_and_updates_without_change_give_finite_filters(rng: np.random.Generator) -> None:
    template_f, numerator = random_templates(rng)
    template_f[:, 1] = numerator[:, 1] = 0
    filter_f = penalty(steps=200).solve(template_f, numerator, 0.1, 0 * numerator)
    for _ in range(3):
        filter_f, before = penalty(temporal=1.0).solve(template_f, numerator, 0.1, filter_f), filter_f
        assert filter_f.dtype == np.complex64
        assert not filter_f[:, 1].any()
        np.testing.assert_allclose(filter_f, before, atol=1e-3 * np.abs(before).max())


def test_a_black_template_gives_a_filter_of_zeros() -> None:
    zeros = np.zeros((1, 3, 2 * BAND + 1, BAND + 1), np.complex64)
    assert not penalty().solve(zeros, zeros, 1e-4).any()
    assert not penalty(temporal=1.0).solve(zeros, zeros, 1e-4, zeros).any()
