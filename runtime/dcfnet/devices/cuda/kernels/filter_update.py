"""The arithmetic of `filter.update` and `filter.dcf` in a few fused kernels.

With operators, every step would be a separate launch that reads and writes all spectra.
tests/runtime/cuda/test_filter_update.py compares both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcfnet.devices.cuda.kernels.constants import LANES, SUM_THREADS
from dcfnet.filter.dcf import Array
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.update import FilterSolution, FilterUpdate


def respond(device: Any, search_f: Array, filter_f: Array, first_f: Array) -> Array:
    """`Backend.respond`, queued: (N, S, C, K, B+1) and twice (N, C, K, B+1) -> (N x S + N, K, B+1), complex64."""
    targets, scales, channels, *area = search_f.shape
    responses = device.empty((targets * (scales + 1), *area), np.complex64)
    sizes = map(np.int32, (targets, scales, channels, math.prod(area)))
    threads = len(responses) * math.prod(area)
    device.launch("respond", threads, search_f, filter_f, first_f, responses, *sizes)
    return responses


def blend(device: Any, old: Array, new: Array, rate: float) -> Array:
    """`Backend.blend`, queued: float32 (N, S, ...) towards (N, 1, ...), or two arrays of one shape."""
    result, count = device.empty(old.shape), len(old)
    repeat = old.shape[1] if new.shape[1] == 1 else 1
    area, numbers = math.prod(old.shape) // (count * repeat), math.prod(old.shape)
    device.launch("blend", numbers, old, new, result, np.float32(rate), *map(np.int32, (count, repeat, area)))
    return result


@dataclass(frozen=True)
class CudaFilterUpdate(FilterUpdate):
    """Updates on a CudaDevice. `initial` uses operators: no captured program contains it."""

    device: Any = None  # a CudaDevice

    def updated(self, template_f: Array, before: FilterSolution) -> FilterSolution:
        """See `FilterUpdate`; queued."""
        device = self.device
        targets, channels, rows, columns = template_f.shape
        area, whole = rows * columns, (template_f.shape, np.complex64)
        newest, numerator, closed = (device.empty(*whole) for _ in range(3))
        energy, denominator = (device.empty((targets, 1, rows, columns)) for _ in range(2))
        inputs = (template_f, self.label_f, before.numerator, before.denominator)
        outputs = (newest, energy, numerator, denominator, closed)
        scalars = (np.float32(self.rate), np.float32(self.regularisation), *map(np.int32, (targets, channels, area)))
        device.launch("update", targets * area, *inputs, *outputs, *scalars)
        if self.penalty is None:
            return FilterSolution(numerator, denominator, closed, closed)
        solver = _ConjugateGradients(device, self.penalty, self.regularisation, template_f, energy)
        mean, focused = solver.solve(newest, before.focused_f, closed)
        return FilterSolution(numerator, denominator, mean, focused)


class _ConjugateGradients:
    """`SpatialPenalty.solve` from a previous filter, for N targets, kernel by kernel."""

    def __init__(
        self, device: Any, penalty: SpatialPenalty, regularisation: float, template_f: Array, energy: Array
    ) -> None:
        self.device, self.penalty, self.templates, self.energy = device, penalty, template_f, energy
        self.targets, self.channels, self.rows, self.columns = template_f.shape
        self.area, self.shape = self.rows * self.columns, template_f.shape
        weights = (regularisation, penalty.weight, penalty.temporal, penalty.share)
        self.scalars = (*map(np.float32, weights), *map(np.int32, template_f.shape))
        self.energy_sums = self._sums(energy)

    def solve(self, newest: Array, previous: Array, closed: Array) -> tuple[Array, Array]:
        """The mean of the focused filter and the filter in closed form, and the focused filter."""
        iterate, residual, direction = previous, self._spectra(), self._spectra()
        inputs = (self.templates, newest, previous, self._masked(previous), self.energy, self.energy_sums)
        parts = self._parts()
        self._by_frequency("initial_residual", *inputs, self.penalty.twice, residual, direction, parts)
        norms = self._sums(parts)
        for _ in range(self.penalty.steps - 1):
            left, curvatures = self._left_side(direction)
            following, conditioned, parts = self._spectra(), self._spectra(), self._parts()
            inputs = (self.templates, iterate, direction, left, self.energy, self.energy_sums)
            products = (self.penalty.twice, norms, curvatures)
            self._by_frequency("advance", *inputs, *products, following, residual, conditioned, parts)
            iterate, last_norms, norms = following, norms, self._sums(parts)
            self._by_number("next_direction", conditioned, norms, last_norms, direction)
        _, curvatures = self._left_side(direction)
        focused, mean = self._spectra(), self._spectra()
        self._by_number("last_step", iterate, direction, closed, norms, curvatures, focused, mean)
        return mean, focused

    def _left_side(self, direction: Array) -> tuple[Array, Array]:
        """The left side for a search direction, and the inner product of both."""
        left, parts = self._spectra(), self._parts()
        inputs = (self.templates, direction, self._masked(direction), self.energy_sums, self.penalty.twice)
        self._by_frequency("left_side", *inputs, left, parts)
        return left, self._sums(parts)

    def _masked(self, spectra: Array) -> Array:
        """`SpatialPenalty.masked`."""
        result, maps = self._spectra(), self.targets * self.channels
        inputs = (spectra, self.penalty.columns, self.penalty.mirrored, result)
        self.device.launch("mask_columns", maps * self.area, *inputs, *map(np.int32, (maps, self.rows, self.columns)))
        return self.penalty.matmul(self.penalty.rows, result)

    def _sums(self, parts: Array) -> Array:
        """Sums over all frequencies: float32 (N, ..., K, B+1) -> (N,)."""
        sums, sizes = self.device.empty((self.targets,)), map(np.int32, (self.rows, self.columns))
        threads = min(-(-self.rows // LANES) * LANES, SUM_THREADS)
        self.device.launch_blocks("sum_maps", self.targets, threads, 4 * self.rows, parts, sums, *sizes)
        return sums

    def _by_frequency(self, kernel: str, *arrays: Array) -> None:
        self.device.launch(kernel, self.targets * self.area, *arrays, *self.scalars)

    def _by_number(self, kernel: str, *arrays: Array) -> None:
        each = self.channels * self.area
        self.device.launch(kernel, self.targets * each, *arrays, *map(np.int32, (self.targets, each)))

    def _spectra(self) -> Array:
        return self.device.empty(self.shape, np.complex64)

    def _parts(self) -> Array:
        return self.device.empty((self.targets, self.rows, self.columns))
