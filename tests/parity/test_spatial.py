"""The penalty upon a filter's background against the same equations written out densely, in pixels."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet import dcf
from dcfnet.cpu import CpuBackend
from dcfnet.fourier import Transform, label_spectrum
from dcfnet.spatial import SpatialPenalty

SIDE, BAND = 24, 6
place = CpuBackend().asarray


LABEL = label_spectrum(SIDE, 1.5, BAND)


def penalty(weight: float = 1.0, steps: int = 2, extent: float = 5.0, temporal: float = 0.0) -> SpatialPenalty:
    return SpatialPenalty.build(SIDE, BAND, extent, weight, temporal, steps, place)


def waves() -> tuple[np.ndarray, np.ndarray]:
    """Real maps of each frequency of the band, (n, SIDE, SIDE), and their spectra by the transform without a window."""
    y, x = np.mgrid[:SIDE, :SIDE] * 2 * np.pi / SIDE
    maps = [
        wave(v * y + u * x)
        for u in range(BAND + 1)
        for v in range(-BAND, BAND + 1)
        for wave in (np.cos, np.sin)
        if u or v > 0 or (v == 0 and wave is np.cos)
    ]
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), place)
    return np.array(maps), transform.forward(np.array(maps, dtype=np.float32))


def mask(extent: float) -> np.ndarray:
    """m^2 at the pixels, far finer than the band can tell."""
    m = np.exp(-((np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / extent) ** 4))
    return np.outer(m, m) ** 2


def test_the_penalty_is_a_product_of_maps() -> None:
    maps, spectra = waves()
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), place)
    expected = transform.forward((maps * (1 - mask(5.0))).astype(np.float32))
    np.testing.assert_allclose(spectra - penalty().inside(spectra), expected, atol=2e-3 * np.abs(spectra).max())


def learnt(rng: np.random.Generator, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Spectrum of the templates of two targets, and their numerators."""
    transform = Transform.build(SIDE, BAND, SIDE, np.hanning(SIDE), place)
    template_f = transform.forward(rng.normal(size=(2, channels, SIDE, SIDE)).astype(np.float32) * 10)
    return template_f, dcf.learn(template_f, LABEL)[0]


@pytest.mark.parametrize(("weight", "temporal"), [(0.1, 0.0), (2.0, 0.0), (1.0, 3.0), (0.0, 0.5)])
def test_the_minimum_is_that_of_the_pixels(rng: np.random.Generator, weight: float, temporal: float) -> None:
    """Least squares over the waves of the band in every channel, written out densely."""
    channels, regularisation = 2, 0.1
    template_f, numerator = (a[:1] for a in learnt(rng, channels))
    before = learnt(rng, channels)[1][:1] / 50
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
    found = penalty(weight, 200, temporal=temporal).solve(template_f, numerator, regularisation, before)
    np.testing.assert_allclose(found[0], expected, atol=5e-3 * np.abs(expected).max())


def test_it_is_the_closed_form_where_nothing_is_penalised(rng: np.random.Generator) -> None:
    template_f, numerator = learnt(rng)
    regularisation = 0.01 * float(
        dcf.energy(template_f).mean()
    )  # else float32 has little to divide by without a penalty
    closed = dcf.solve(*dcf.learn(template_f, LABEL), regularisation)
    slack = 5e-3 * np.abs(closed).max()
    none = penalty(weight=0.0).solve(template_f, numerator, regularisation)
    np.testing.assert_allclose(none, closed, atol=slack)
    wide = penalty(steps=200, extent=500.0).solve(template_f, numerator, regularisation, 0 * numerator)
    np.testing.assert_allclose(wide, closed, atol=slack)


def test_a_filter_stays_the_more_what_it_was_the_more_change_costs(rng: np.random.Generator) -> None:
    template_f, numerator = learnt(rng)
    before = penalty().solve(*learnt(rng), 0.1)
    free = penalty(steps=50).solve(template_f, numerator, 0.1, before)
    steps = [0.0, 1.0, 10.0, 1000.0]
    moved = [
        float(np.abs(penalty(steps=50, temporal=mu).solve(template_f, numerator, 0.1, before) - before).max())
        for mu in steps
    ]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.02 * np.abs(free - before).max()


def test_the_filter_looks_at_the_target(rng: np.random.Generator) -> None:
    """The share of its energy outside the target falls with the weight."""
    template_f, numerator = learnt(rng)
    transform = Transform.build(SIDE, BAND, SIDE, np.ones(SIDE), place)

    def outside(filter_f: np.ndarray) -> float:
        energy = transform.inverse(filter_f) ** 2
        return float((energy * (1 - mask(5.0))).sum() / energy.sum())

    closed, light, heavy = (outside(penalty(weight).solve(template_f, numerator, 0.1)) for weight in (0.0, 0.3, 3.0))
    assert light < 0.9 * closed
    assert heavy < 0.6 * light


def test_a_channel_of_nothing_and_lessons_that_change_nothing_stay_numbers(rng: np.random.Generator) -> None:
    template_f, numerator = learnt(rng)
    template_f[:, 1] = numerator[:, 1] = 0
    found = penalty(steps=200).solve(template_f, numerator, 0.1, 0 * numerator)
    for _ in range(3):
        found, before = penalty(temporal=1.0).solve(template_f, numerator, 0.1, found), found
        assert found.dtype == np.complex64
        assert not found[:, 1].any()
        np.testing.assert_allclose(found, before, atol=1e-3 * np.abs(before).max())


def test_a_black_template_gives_no_filter() -> None:
    nothing = np.zeros((1, 3, 2 * BAND + 1, BAND + 1), np.complex64)
    assert not penalty().solve(nothing, nothing, 1e-4).any()
    assert not penalty(temporal=1.0).solve(nothing, nothing, 1e-4, nothing).any()
