"""Fused kernels against the operators that they stand for: the numbers are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet import dcf
from dcfnet.backend import select
from dcfnet.colours import BINS, ColourModel
from dcfnet.cpu import CpuBackend
from dcfnet.filters import ArrayFilters
from dcfnet.fourier import label_spectrum
from dcfnet.learning import Learnt
from dcfnet.response import RESPONSE_SIDE
from dcfnet.spatial import SpatialPenalty

SIDE, BAND = 26, 9
SPECTRUM = (2 * BAND + 1, BAND + 1)
MEAN = np.array([104, 117, 123], np.float32)


def spectra(rng: np.random.Generator, *shape: int, height: float = 1.0) -> np.ndarray:
    made = rng.normal(0, height, (*shape, *SPECTRUM)) + 1j * rng.normal(0, height, (*shape, *SPECTRUM))
    return made.astype(np.complex64)


def near(found: Any, expected: np.ndarray, share: float = 1e-5) -> None:
    """Equal but for the rounding of float32, which sums of other orders have."""
    found = select("cuda").to_host(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, atol=share * np.abs(expected).max())


@pytest.mark.parametrize(("targets", "scales", "channels"), [(1, 1, 1), (3, 3, 5), (2, 5, 32)])
def test_answers_are_eq_3(place: str, rng: np.random.Generator, targets: int, scales: int, channels: int) -> None:
    search, filters = spectra(rng, targets, scales, channels), spectra(rng, targets, channels)
    backend = select("cuda")
    near(backend.respond(backend.asarray(search), backend.asarray(filters)), CpuBackend().respond(search, filters))


@pytest.mark.parametrize(("old", "new"), [((3, 5, 4, 4), (3, 1, 4, 4)), ((2, 2, 7), (2, 2, 7)), ((4, 1, 3), (4, 1, 3))])
def test_a_blend_is_eq_13(place: str, rng: np.random.Generator, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    one, other = (rng.normal(size=shape).astype(np.float32) for shape in (old, new))
    backend = select("cuda")
    near(backend.blend(backend.asarray(one), backend.asarray(other), 0.3), dcf.blend(one, other, np.float32(0.3)))


def lessons(backend: Any, given: list[np.ndarray], steps: int, weight: float, temporal: float) -> list[Learnt]:
    """What three lessons of the same targets leave, on a backend."""
    penalty = None
    if weight:
        at = (backend.asarray, backend.product)
        penalty = SpatialPenalty.build(SIDE, BAND, 5.0, weight, temporal, steps, *at)
    label = backend.asarray(label_spectrum(SIDE, 1.2, BAND))
    learning, none = backend.learning(label, 0.1, 1e-2, penalty), backend.asarray(np.zeros((2, 2, 1), np.float32))
    made = [learning.first(backend.asarray(given[0]))]
    for template in given[1:]:
        made.append(learning.next(backend.asarray(template), ArrayFilters(*made[-1], none)))
    return made


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize(("weight", "temporal"), [(1.0, 20.0), (0.3, 1.0), (0.0, 0.0)])
def test_lessons_are_those_of_the_operators(
    place: str, rng: np.random.Generator, steps: int, weight: float, temporal: float
) -> None:
    """Two targets, one seen a hundred times more strongly, so that a sum over both would show."""
    given = [spectra(rng, 2, 6) * np.float32([1, 100]).reshape(2, 1, 1, 1) for _ in range(3)]
    expected = lessons(CpuBackend(), given, steps, weight, temporal)
    for one, other in zip(lessons(select("cuda"), given, steps, weight, temporal), expected, strict=True):
        for found, wanted in zip(one, other, strict=True):
            for target in range(2):
                near(found[target], wanted[target], 2e-5)
    moved = np.abs(expected[2].focused_f - expected[1].focused_f).max()
    assert moved > 1e-3 * np.abs(expected[1].focused_f).max()  # there was something to learn


@pytest.mark.parametrize("step", [1, 2, 3])
def test_colours_are_those_of_the_cpu(place: str, rng: np.random.Generator, step: int) -> None:
    """Of patches that are not side by side: the middle ones of pyramids."""
    size, whole = 32, rng.integers(0, 256, size=(9, 32, 32, 3)).astype(np.float32)
    patches = np.ascontiguousarray((whole - MEAN).transpose(0, 3, 1, 2))
    histograms = rng.dirichlet(np.full(BINS, 0.01), size=(3, 2)).astype(np.float32)
    backend, made = select("cuda"), []
    for at in (CpuBackend(), backend):
        model = ColourModel.build(at, MEAN, size, step, 12.0, RESPONSE_SIDE, rate=0.1)
        middle, told = at.asarray(patches)[1::3], at.asarray(histograms)
        made.append((model.learn(middle), model.blend(told, middle), model.answer(middle, told)))
    for wanted, found in zip(*made, strict=True):
        near(found, wanted)
