"""Products along both axes in one kernel, against two products of matrices: the same bits on the stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.filter.transform import Transform
from dcfnet.filter.windows import cosine_window

from tests.runtime.cuda.host import HostKernels

# side, band, response side, margin, scale. The last but one needs more than the shared memory of a block for `forward`.
SIZES = [
    (54, 15, 64, 0, 1.0),
    (7, 3, 8, 0, 1.0),
    (33, 9, 17, 0, 1.0),
    (20, 5, 16, 3, 1.05),
    (125, 62, 64, 0, 1.0),
    (1, 0, 1, 0, 1.0),
]


def same(place: str) -> Callable[[Any, Any], None]:
    """A function that compares arrays: to the bit on the stand-in. A GPU may use other fused multiply-adds."""
    if place == "standin":
        return np.testing.assert_array_equal
    return lambda found, expected: np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("stack", [(1,), (2, 3)])
def test_transforms_equal_two_products_of_matrices(
    place: str, rng: np.random.Generator, sizes: tuple[int, int, int, int, float], stack: tuple[int, ...]
) -> None:
    backend, (side, band, response_side, margin, scale) = open_backend("cuda"), sizes
    arguments = (side, band, response_side, cosine_window(side), margin, scale)
    fused = backend.matrix_transform(*arguments)
    products = Transform.build(*arguments[:4], backend.asarray, backend.matmul, margin, scale)
    whole = side + 2 * margin
    maps = rng.normal(0, 3, (*stack, whole, whole)).astype(np.float32)
    spectra, compare = products.forward(backend.asarray(maps)), same(place)
    compare(backend.to_host(fused.forward(backend.asarray(maps))), backend.to_host(spectra))
    expected = CpuBackend().matrix_transform(*arguments).forward(maps)
    np.testing.assert_allclose(backend.to_host(spectra), expected, atol=1e-5 * np.abs(expected).max())
    compare(backend.to_host(fused.inverse(spectra)), backend.to_host(products.inverse(spectra)))


@pytest.mark.parametrize("sizes", [SIZES[0], SIZES[4]])
def test_spectra_are_written_into_a_part_of_an_array(
    place: str, rng: np.random.Generator, sizes: tuple[int, int, int, int, float]
) -> None:
    side, band, response_side, margin, scale = sizes
    backend, rows, columns = open_backend("cuda"), 2 * band + 1, band + 1
    transform = backend.matrix_transform(side, band, response_side, cosine_window(side), margin, scale)
    maps = backend.asarray(rng.normal(size=(2, 3, side, side)).astype(np.float32))
    whole = backend.asarray(np.full((4, 3, rows, columns), 7, np.complex64))
    transform.forward(maps, whole[1:3])
    found = backend.to_host(whole)
    np.testing.assert_array_equal(found[1:3], backend.to_host(transform.forward(maps)))
    assert (found[[0, 3]] == 7).all()


@pytest.mark.parametrize("shape", [(64, 54, 54, 64), (5, 9, 7, 3), (1, 1, 1, 1), (200, 30, 80, 11)])
def test_means_along_both_axes_equal_two_products(
    place: str, rng: np.random.Generator, shape: tuple[int, int, int, int]
) -> None:
    """The product of the first two matrices of the last shape does not fit into shared memory."""
    rows, height, width, columns = shape
    left, maps, right = (
        rng.normal(size=size).astype(np.float32) for size in ((rows, height), (3, height, width), (width, columns))
    )
    backend = open_backend("cuda")
    on_device = [backend.asarray(each) for each in (left, maps, right)]
    found = backend.to_host(backend.along_both_axes(*on_device))
    expected = backend.to_host(backend.matmul(backend.matmul(*on_device[:2]), on_device[2]))
    same(place)(found, expected)
    exact = left.astype(np.float64) @ maps @ right
    np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("backwards", [False, True])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, backwards: bool
) -> None:
    """The results are correct in both orders of the threads between two barriers."""
    monkeypatch.setattr(host_kernels, "backwards", backwards)
    test_transforms_equal_two_products_of_matrices("standin", rng, SIZES[0], (2,))
    test_means_along_both_axes_equal_two_products("standin", rng, (64, 54, 54, 64))
