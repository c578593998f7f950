"""The update rule of the filters: the first solution of a target and all later updates, with operators only.

The response uses the mean of two filters. The closed form of eq. 2, from the blended numerator and denominator, learns
target and surroundings. The focused filter of `spatial_penalty.py`, from the newest template and the previous focused
filter, learns the target. The mean has fewer errors than either one (docs/tuning.md). Without a penalty both are eq. 2.

The first closed form can also learn the template turned to both sides (`template_turn`). It then uses what stays the
same when the target turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dcfnet.filter import dcf
from dcfnet.filter.dcf import Array
from dcfnet.filter.spatial_penalty import SpatialPenalty

TURNED_SHARE = 1 / 3  # weight of the turned templates in the first filter (docs/tuning.md)


class FilterSolution(NamedTuple):
    """Filters of N targets, and the arrays that their next update needs.

    numerator, filter_f, focused_f: complex64 (N, C, K, B+1). denominator: float32 (N, 1, K, B+1). The response uses
    filter_f. focused_f is the focused filter alone; it equals filter_f without a penalty.
    """

    numerator: Array
    denominator: Array
    filter_f: Array
    focused_f: Array


@dataclass(frozen=True)
class FilterUpdate:
    """The update rule.

    label_f: float32 (K, B+1) on the backend. rate: beta of eq. 13 for one update. regularisation: lambda of eq. 2.
    penalty: the background penalty; None: only the closed form of eq. 2.
    shares: float32 (L, 1, 1, 1), for one filter per level of the features: the share of each level in the response.
    A level has C / L channels and a label of its own: label_f is then (L, 1, K, B+1), and the arrays of a solution,
    except filter_f, are (N, L, C / L, K, B+1). None: one filter for all channels.
    """

    label_f: Array
    rate: float
    regularisation: float
    penalty: SpatialPenalty | None
    shares: Array | None = None

    def initial(self, template_f: Array, count: int = 1) -> FilterSolution:
        """The first solution. template_f: complex64 (N x count, C, K, B+1), spectra of `count` patches of each target.

        count: 1, or 3: the middle patch is then the template, the others are turned. Only the closed form learns these,
        and their mean has the weight TURNED_SHARE.
        """
        template_f = self._by_level(template_f)
        newest, energy = dcf.learn(template_f, self.label_f)
        if count == 1:
            return self._solved(newest, energy, template_f, newest, None)
        arrays = (template_f, newest, energy)
        template_f, newest, energy = (each.reshape(-1, count, *each.shape[1:]) for each in arrays)
        numerator, denominator = (
            dcf.blend(each[:, 1], each[:, ::2].mean(axis=1), TURNED_SHARE) for each in (newest, energy)
        )
        return self._solved(numerator, denominator, template_f[:, 1], newest[:, 1], None)

    def updated(self, template_f: Array, before: FilterSolution) -> FilterSolution:
        """The previous solution, blended towards the templates. template_f: complex64 (N, C, K, B+1)."""
        template_f = self._by_level(template_f)
        newest, energy = dcf.learn(template_f, self.label_f)
        numerator = dcf.blend(before.numerator, newest, self.rate)
        denominator = dcf.blend(before.denominator, energy, self.rate)
        return self._solved(numerator, denominator, template_f, newest, before.focused_f)

    def _solved(
        self, numerator: Array, denominator: Array, template_f: Array, newest: Array, before: Array | None
    ) -> FilterSolution:
        closed_form = dcf.solve(numerator, denominator, self.regularisation)
        if self.penalty is None:
            return FilterSolution(numerator, denominator, self._one_filter(closed_form), closed_form)
        focused = self.penalty.solve(template_f, newest, self.regularisation, before)
        return FilterSolution(numerator, denominator, self._one_filter((closed_form + focused) * 0.5), focused)

    def _by_level(self, template_f: Array) -> Array:
        """Spectra (N, C, K, B+1) -> (N, L, C / L, K, B+1), if there is a filter per level."""
        if self.shares is None:
            return template_f
        count, channels, *frequencies = template_f.shape
        return template_f.reshape(count, len(self.shares), channels // len(self.shares), *frequencies)

    def _one_filter(self, filter_f: Array) -> Array:
        """The filter (N, C, K, B+1) whose response is the sum of the levels' responses, each times its share."""
        if self.shares is None:
            return filter_f
        weighted = filter_f * self.shares
        return weighted.reshape(len(weighted), -1, *weighted.shape[-2:])
