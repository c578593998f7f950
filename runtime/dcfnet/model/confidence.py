"""The confidence of a result: the probability that its box overlaps the target, from numbers of the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_LIKENESS = 0.01  # below it, a likeness says no more than that nothing similar is there
SMALLEST_TYPICAL = 0.1  # of PSR x peak x likeness; a target that is followed well has about 3
LARGEST = 1e6  # largest bias or weight: a probability needs far less, and products of such numbers are finite
TERMS = ("likeness", "log_likeness", "peak", "log_psr", "log_typical")


@dataclass(frozen=True)
class Confidence:
    """A logistic model: probability = 1 / (1 + exp(-(bias + sum of weight x term))). `dcfnet-calibrate` fits it.

    weights: {term: weight}, the terms of `terms_of` that the model uses.
    """

    bias: float
    weights: Mapping[str, float]

    def __call__(
        self, likeness: NDArray[Any], peak: NDArray[Any], psr: NDArray[Any], typical: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Probabilities in [0, 1] that the overlap with the target exceeds 0.5, float64 (N,). See `terms_of`."""
        return self.of_terms(terms_of(likeness, peak, psr, typical))

    def of_terms(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `__call__`, for the terms (N, len(TERMS)) of `terms_of`."""
        score = self.bias + sum(weight * terms[:, TERMS.index(name)] for name, weight in self.weights.items())
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(score, -50, 50)))
        return probability

    @classmethod
    def parse(cls, declared: Any) -> Confidence:
        """The model of a JSON object. Raises ValueError for other content."""
        if not isinstance(declared, dict) or declared.keys() != {"bias", "weights"}:
            raise ValueError(f"confidence is {declared!r}, it must have a bias and weights")
        bias, weights = declared["bias"], declared["weights"]
        if not isinstance(weights, dict) or not weights or not weights.keys() <= set(TERMS):
            raise ValueError(f"weights of the confidence are {weights!r}, their names must be of {', '.join(TERMS)}")
        if not all(isinstance(v, (int, float)) and abs(v) <= LARGEST for v in (bias, *weights.values())):
            raise ValueError(f"confidence is {declared!r}, its numbers must be from {-LARGEST:g} to {LARGEST:g}")
        return cls(float(bias), {name: float(weight) for name, weight in weights.items()})

    def to_mapping(self) -> dict[str, Any]:
        """The model as a dict for JSON."""
        return {"bias": self.bias, "weights": dict(self.weights)}


def terms_of(
    likeness: NDArray[Any], peak: NDArray[Any], psr: NDArray[Any], typical: NDArray[Any]
) -> NDArray[np.float64]:
    """The terms of `TERMS` in N frames, float64 (N, len(TERMS)).

    likeness, peak: (N,), of the search pass that counts; see `Peak`. psr: (N,), see `Result.psr`.
    typical: (N, 3), the typical PSR, peak and likeness before this frame; see `TrackState`. Their product, or that of
    this frame before the first typical response, gives log_typical.
    """
    strength = np.prod(typical, axis=1)
    strength = np.where(strength > 0, strength, psr * peak * likeness)
    logarithms = np.log(np.maximum(likeness, SMALLEST_LIKENESS)), np.log(np.maximum(strength, SMALLEST_TYPICAL))
    terms = (likeness, logarithms[0], peak, np.log1p(np.maximum(psr, 0)), logarithms[1])
    return np.stack(terms, axis=1).astype(np.float64)
