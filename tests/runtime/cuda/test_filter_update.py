"""The kernels of responses, blends and filter updates, against the NumPy operators of the CPU backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.filter import dcf
from dcfnet.filter.colour_histogram import BINS, ColourModel
from dcfnet.filter.response import RESPONSE_SIDE
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import label_spectrum
from dcfnet.filter.update import FilterSolution

SIDE, BAND = 26, 9
SPECTRUM = (2 * BAND + 1, BAND + 1)
MEAN = np.array([104, 117, 123], np.float32)


def spectra(rng: np.random.Generator, *shape: int, height: float = 1.0) -> np.ndarray:
    values = rng.normal(0, height, (*shape, *SPECTRUM)) + 1j * rng.normal(0, height, (*shape, *SPECTRUM))
    return values.astype(np.complex64)


def assert_close(found: Any, expected: np.ndarray, share: float = 1e-5) -> None:
    """Checks a device array. Sums in another order round differently, by this share of the largest value at most."""
    found = open_backend("cuda").to_host(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, atol=share * np.abs(expected).max())


@pytest.mark.parametrize(("targets", "scales", "channels"), [(1, 1, 1), (3, 3, 5), (2, 5, 32)])
def test_responses_follow_eq_3(place: str, rng: np.random.Generator, targets: int, scales: int, channels: int) -> None:
    search, filters, first = (spectra(rng, targets, *stack, channels) for stack in ((scales,), (), ()))
    backend = open_backend("cuda")
    responses = (filters.conj()[:, None] * search).sum(axis=2).reshape(-1, *SPECTRUM)
    of_first = (first.conj() * search[:, scales // 2]).sum(axis=1)
    expected = np.concatenate([responses, of_first])
    assert_close(backend.respond(*map(backend.asarray, (search, filters, first))), expected)
    assert_close(backend.asarray(CpuBackend().respond(search, filters, first)), expected)


@pytest.mark.parametrize(("old", "new"), [((3, 5, 4, 4), (3, 1, 4, 4)), ((2, 2, 7), (2, 2, 7)), ((4, 1, 3), (4, 1, 3))])
def test_a_blend_follows_eq_13(
    place: str, rng: np.random.Generator, old: tuple[int, ...], new: tuple[int, ...]
) -> None:
    before, newest = (rng.normal(size=shape).astype(np.float32) for shape in (old, new))
    backend = open_backend("cuda")
    found = backend.blend(backend.asarray(before), backend.asarray(newest), 0.3)
    assert_close(found, dcf.blend(before, newest, np.float32(0.3)))


def solutions(
    backend: Any, templates: list[np.ndarray], steps: int, weight: float, temporal: float
) -> list[FilterSolution]:
    """The filters of some targets after the first template and after each update."""
    penalty = None
    if weight:
        operations = (backend.asarray, backend.matmul)
        penalty = SpatialPenalty.build(SIDE, BAND, 5.0, weight, temporal, steps, *operations)
    label = backend.asarray(label_spectrum(SIDE, 1.2, BAND))
    update = backend.filter_update(label, 0.1, 1e-2, penalty)
    filters = [update.initial(backend.asarray(templates[0]))]
    for template in templates[1:]:
        filters.append(update.updated(backend.asarray(template), filters[-1]))
    return filters


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize(("weight", "temporal"), [(1.0, 20.0), (0.3, 1.0), (0.0, 0.0)])
def test_updates_equal_those_of_the_operators(
    place: str, rng: np.random.Generator, steps: int, weight: float, temporal: float
) -> None:
    """One of two targets has values a hundred times larger, so that a sum over both targets would be found."""
    templates = [spectra(rng, 2, 6) * np.float32([1, 100]).reshape(2, 1, 1, 1) for _ in range(3)]
    expected = solutions(CpuBackend(), templates, steps, weight, temporal)
    found = solutions(open_backend("cuda"), templates, steps, weight, temporal)
    for found_solution, expected_solution in zip(found, expected, strict=True):
        for found_array, expected_array in zip(found_solution, expected_solution, strict=True):
            for target in range(2):
                assert_close(found_array[target], expected_array[target], 2e-5)
    moved = np.abs(expected[2].focused_f - expected[1].focused_f).max()
    assert moved > 1e-3 * np.abs(expected[1].focused_f).max()  # the update changed the filter


@pytest.mark.parametrize("step", [1, 2, 3])
def test_colour_histograms_and_likelihoods_equal_those_of_the_cpu(
    place: str, rng: np.random.Generator, step: int
) -> None:
    """The patches are the middle scales of pyramids, so there are gaps between them."""
    size, whole = 32, rng.integers(0, 256, size=(9, 32, 32, 3)).astype(np.float32)
    patches = np.ascontiguousarray((whole - MEAN).transpose(0, 3, 1, 2))
    histograms = rng.dirichlet(np.full(BINS, 0.01), size=(3, 2)).astype(np.float32)
    results = []
    for backend in (CpuBackend(), open_backend("cuda")):
        model = ColourModel.build(backend, MEAN, size, step, 12.0, RESPONSE_SIDE, rate=0.1)
        middle, before = backend.asarray(patches)[1::3], backend.asarray(histograms)
        results.append((model.histograms(middle), model.blend(before, middle), model.response(middle, before)))
    for expected, found in zip(*results, strict=True):
        assert_close(found, expected)
