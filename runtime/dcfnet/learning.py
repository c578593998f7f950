"""How filters learn: the first lesson of a target, and every one after it, in operators alone.

Two filters share each answer. That of eq. 2, of the blended numerator and denominator, knows the surroundings; the
focused one of spatial.py, of the newest template, its numerator and the focused one before, knows the target; and their
mean errs less than either (docs/tuning.md). Without a penalty both are eq. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dcfnet import dcf
from dcfnet.backend import Array
from dcfnet.filters import ArrayFilters
from dcfnet.spatial import SpatialPenalty


class Learnt(NamedTuple):
    """What N targets are looked for with, and what the next lesson needs: as the arrays of `Filters`."""

    numerator: Array
    denominator: Array
    filter_f: Array
    focused_f: Array


@dataclass(frozen=True)
class Learning:
    """label_f: float32 (K, B+1) on the backend. rate: beta of eq. 13, for a lesson. regularisation: lambda of eq. 2.

    penalty: upon what a filter has outside the target; None for the closed form of eq. 2 alone.
    """

    label_f: Array
    rate: float
    regularisation: float
    penalty: SpatialPenalty | None

    def first(self, template_f: Array) -> Learnt:
        """Learnt from templates alone: spectra, complex64 (N, C, K, B+1)."""
        numerator, denominator = dcf.learn(template_f, self.label_f)
        return self._solved(numerator, denominator, template_f, numerator, None)

    def next(self, template_f: Array, before: ArrayFilters) -> Learnt:
        """What was learnt before, blended towards templates: spectra, complex64 (N, C, K, B+1)."""
        newest, energy = dcf.learn(template_f, self.label_f)
        numerator = dcf.blend(before.numerator, newest, self.rate)
        denominator = dcf.blend(before.denominator, energy, self.rate)
        return self._solved(numerator, denominator, template_f, newest, before.focused_f)

    def _solved(
        self, numerator: Array, denominator: Array, template_f: Array, newest: Array, before: Array | None
    ) -> Learnt:
        closed = dcf.solve(numerator, denominator, self.regularisation)
        if self.penalty is None:
            return Learnt(numerator, denominator, closed, closed)
        focused = self.penalty.solve(template_f, newest, self.regularisation, before)
        return Learnt(numerator, denominator, (closed + focused) * 0.5, focused)
