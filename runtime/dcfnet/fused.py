"""Detect's and learn's arithmetic upon filters, in few kernels: what learning.py and dcf.py say, the numbers the same.

By operators each step reads and writes every spectrum again, in a launch of its own. tests/runtime/cuda/test_fused.py
holds both against each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcfnet.backend import Array
from dcfnet.filters import ArrayFilters
from dcfnet.learning import Learning, Learnt
from dcfnet.spatial import SpatialPenalty


def respond(device: Any, search_f: Array, filter_f: Array) -> Array:
    """`Backend.respond`, queued: (N, S, C, K, B+1) and (N, C, K, B+1) -> (N, S, K, B+1), complex64."""
    targets, scales, channels, *area = search_f.shape
    made = device.empty((targets, scales, *area), np.complex64)
    numbers = map(np.int32, (targets, scales, channels, math.prod(area)))
    device.launch("respond", targets * scales * math.prod(area), search_f, filter_f, made, *numbers)
    return made


def blend(device: Any, old: Array, new: Array, rate: float) -> Array:
    """`Backend.blend`, queued: float32 (N, S, ...) towards (N, 1, ...), or two of one shape."""
    made, count = device.empty(old.shape), len(old)
    repeat = old.shape[1] if new.shape[1] == 1 else 1
    area, numbers = math.prod(old.shape) // (count * repeat), math.prod(old.shape)
    device.launch("blend", numbers, old, new, made, np.float32(rate), *map(np.int32, (count, repeat, area)))
    return made


@dataclass(frozen=True)
class FusedLearning(Learning):
    """Lessons on a CudaDevice; the first one of a target, which no captured program holds, by operators."""

    device: Any

    def next(self, template_f: Array, before: ArrayFilters) -> Learnt:
        """See `Learning`; queued."""
        device = self.device
        targets, channels, rows, columns = template_f.shape
        area, whole = rows * columns, (template_f.shape, np.complex64)
        newest, numerator, closed = (device.empty(*whole) for _ in range(3))
        energy, denominator = (device.empty((targets, 1, rows, columns)) for _ in range(2))
        given = (template_f, self.label_f, before.numerator, before.denominator)
        made = (newest, energy, numerator, denominator, closed)
        numbers = (np.float32(self.rate), np.float32(self.regularisation), *map(np.int32, (targets, channels, area)))
        device.launch("learn", targets * area, *given, *made, *numbers)
        if self.penalty is None:
            return Learnt(numerator, denominator, closed, closed)
        descent = _Descent(device, self.penalty, self.regularisation, template_f, energy)
        return Learnt(numerator, denominator, *descent.run(newest, before.focused_f, closed))


class _Descent:
    """Conjugate gradients of N targets, `SpatialPenalty.solve` with a filter before, kernel by kernel."""

    def __init__(
        self, device: Any, penalty: SpatialPenalty, regularisation: float, template_f: Array, energy: Array
    ) -> None:
        self.device, self.penalty, self.templates, self.energy = device, penalty, template_f, energy
        self.targets, self.channels, self.rows, self.columns = template_f.shape
        self.area, self.shape = self.rows * self.columns, template_f.shape
        weights = (regularisation, penalty.weight, penalty.temporal, penalty.share)
        self.numbers = (*map(np.float32, weights), *map(np.int32, template_f.shape))
        self.sums = self._rows_of(energy)

    def run(self, newest: Array, before: Array, closed: Array) -> tuple[Array, Array]:
        """The filter to look with, and the focused one in it."""
        filter_f, residual, direction = before, self._spectra(), self._spectra()
        given, parts = (self.templates, newest, before, self._inside(before), self.energy, self.sums), self._parts()
        self._by_frequency("begin", *given, self.penalty.twice, residual, direction, parts)
        descent = self._rows_of(parts)
        for _ in range(self.penalty.steps - 1):
            image, through = self._image(direction)
            moved, solved, parts = self._spectra(), self._spectra(), self._parts()
            given = (self.templates, filter_f, direction, image, self.energy, self.sums)
            lengths = (self.penalty.twice, descent, through)
            self._by_frequency("descend", *given, *lengths, moved, residual, solved, parts)
            filter_f, last, descent = moved, descent, self._rows_of(parts)
            self._by_number("turn", solved, descent, last, direction)
        _, through = self._image(direction)
        focused, mean = self._spectra(), self._spectra()
        self._by_number("conclude", filter_f, direction, closed, descent, through, focused, mean)
        return mean, focused

    def _image(self, direction: Array) -> tuple[Array, Array]:
        """The equations' left side for a direction, and the inner product of both, a row."""
        image, parts = self._spectra(), self._parts()
        given = (self.templates, direction, self._inside(direction), self.sums, self.penalty.twice)
        self._by_frequency("image", *given, image, parts)
        return image, self._rows_of(parts)

    def _inside(self, spectra: Array) -> Array:
        """`SpatialPenalty.inside`."""
        folded, maps = self._spectra(), self.targets * self.channels
        given = (spectra, self.penalty.columns, self.penalty.mirrored, folded)
        self.device.launch("fold", maps * self.area, *given, *map(np.int32, (maps, self.rows, self.columns)))
        return self.penalty.product(self.penalty.rows, folded)

    def _rows_of(self, parts: Array) -> Array:
        """Sums of rows: float32 (N, ..., K, B+1) -> (N, K)."""
        sums, count = self.device.empty((self.targets, self.rows)), self.targets * self.rows
        self.device.launch("sum_rows", count, parts, sums, np.int32(count), np.int32(self.columns))
        return sums

    def _by_frequency(self, kernel: str, *arrays: Array) -> None:
        self.device.launch(kernel, self.targets * self.area, *arrays, *self.numbers)

    def _by_number(self, kernel: str, *arrays: Array) -> None:
        each = self.channels * self.area
        numbers = map(np.int32, (self.targets, each, self.rows))
        self.device.launch(kernel, self.targets * each, *arrays, *numbers)

    def _spectra(self) -> Array:
        return self.device.empty(self.shape, np.complex64)

    def _parts(self) -> Array:
        return self.device.empty((self.targets, self.rows, self.columns))
