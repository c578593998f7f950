"""The correlation filter: equations 1, 2, 3 and 13 of the DCFNet paper (arXiv 1704.04057), written once.

Every function takes spectra and uses only the operators that numpy, cupy and torch arrays share, so the layer that is
trained is the filter that is deployed. The transforms stay with the caller.

Convention: a spectrum is `rfft2` of a real map over its last two axes, unnormalised (the inverse divides by H x W).
The regularisation is added to energies of that transform; under another normalisation the same number would mean
another filter. Shapes are `(..., C, H, W // 2 + 1)`: channels third from the end, any leading axes.

The filter minimises || sum_l w_l * phi_l(x) - y ||^2 + lambda sum_l || w_l ||^2 (eq. 1). Numerator and denominator of
its closed form are kept and blended apart, and divided when it is solved:

    w_l = phi_l(x) y^* / (sum_k phi_k(x) phi_k(x)^* + lambda)                (eq. 2)
"""

from __future__ import annotations

from typing import Any, TypeAlias

Array: TypeAlias = Any  # numpy.ndarray, cupy.ndarray or torch.Tensor: no one type covers the three

CHANNELS = -3


def learn(template_f: Array, label_f: Array) -> tuple[Array, Array]:
    """Numerator and denominator of the filter that answers `label` on `template` (eq. 2).

    template_f: complex (..., C, H, W//2+1), spectrum of the template features.
    label_f: (H, W//2+1) or broadcastable, spectrum of the desired response.
    Returns numerator, complex (..., C, H, W//2+1), and denominator, real (..., 1, H, W//2+1), without lambda.
    """
    numerator = template_f * label_f.conj()
    denominator = energy(template_f)
    return numerator, denominator


def energy(features_f: Array) -> Array:
    """Energy per frequency, summed over channels: complex (..., C, H, W//2+1) -> real (..., 1, H, W//2+1)."""
    return (features_f * features_f.conj()).real.sum(axis=CHANNELS, keepdims=True)


def solve(numerator: Array, denominator: Array, regularisation: float) -> Array:
    """The filter of eq. 2, complex (..., C, H, W//2+1), from numerator and denominator as `learn` returns them."""
    return numerator / (denominator + regularisation)


def respond(search_f: Array, filter_f: Array) -> Array:
    """Spectrum of the response of the filter to the search features (eq. 3).

    search_f: complex (..., C, H, W//2+1); filter_f as `solve` returns it.
    Returns complex (..., 1, H, W//2+1); its inverse transform peaks at the target's shift.
    """
    return (filter_f.conj() * search_f).sum(axis=CHANNELS, keepdims=True)


def blend(old: Array, new: Array, learning_rate: Array | float) -> Array:
    """One step of the online recursion, for the numerator and for the denominator apart (eq. 13).

    With beta_t = rate (1 - rate)^(p - t) the sums of eq. 13 are this running mean. A rate of 0 returns `old` exactly.
    """
    return old + learning_rate * (new - old)
