"""The confidence of a result: the probability that its box overlaps the target, from numbers of the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_LIKENESS = 0.01  # below it, a likeness says no more than that nothing similar is there
LARGEST = 1e6  # largest bias or weight: a probability needs far less, and products of such numbers are finite
TERMS = ("likeness", "log_likeness", "peak", "log_psr")


@dataclass(frozen=True)
class Confidence:
    """A logistic model: probability = 1 / (1 + exp(-(bias + sum of weight x term))). `dcfnet-calibrate` fits it.

    weights: {term: weight}, the terms of `terms_of` that the model uses.
    """

    bias: float
    weights: Mapping[str, float]

    def __call__(self, likeness: NDArray[Any], peak: NDArray[Any], psr: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities in [0, 1] that the overlap with the target exceeds 0.5, float64 (N,). See `terms_of`."""
        terms = terms_of(likeness, peak, psr)
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


def terms_of(likeness: NDArray[Any], peak: NDArray[Any], psr: NDArray[Any]) -> NDArray[np.float64]:
    """The terms of `TERMS` in N frames, float64 (N, len(TERMS)). All arguments are (N,); see `Peak`."""
    log_likeness = np.log(np.maximum(likeness, SMALLEST_LIKENESS))
    return np.stack([likeness, log_likeness, peak, np.log1p(np.maximum(psr, 0))], axis=1).astype(np.float64)
