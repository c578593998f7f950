"""The correlation filter: equations 1, 2, 3 and 13 of the DCFNet paper (arXiv 1704.04057), written once.

The functions accept spectra and use only operators that NumPy, CuPy and torch arrays share. So the trained layer and
the deployed filter are the same code. The caller computes the transforms.

Convention: a spectrum is `rfft2` of a real map over its last two axes, unnormalised (the inverse divides by H x W).
The regularisation is added to energies of this transform; with another normalisation, the same number gives another
filter. Shapes are `(..., C, H, W // 2 + 1)`: channels are the third axis from the end, with any leading axes.

The filter minimises || sum_l w_l * phi_l(x) - y ||^2 + lambda sum_l || w_l ||^2 (eq. 1). The numerator and the
denominator of its closed form are stored and blended separately. `solve` divides them:

    w_l = phi_l(x) y^* / (sum_k phi_k(x) phi_k(x)^* + lambda)                (eq. 2)
"""

from __future__ import annotations

from typing import Any, TypeAlias

Array: TypeAlias = Any  # numpy.ndarray, cupy.ndarray or torch.Tensor; they have no common type

CHANNELS = -3


def learn(template_f: Array, label_f: Array) -> tuple[Array, Array]:
    """Numerator and denominator of the filter whose response to the template is the label (eq. 2).

    template_f: complex (..., C, H, W//2+1), spectrum of the template features.
    label_f: (H, W//2+1) or broadcastable, spectrum of the label.
    Returns numerator, complex (..., C, H, W//2+1), and denominator, real (..., 1, H, W//2+1), without lambda.
    """
    numerator = template_f * label_f.conj()
    denominator = energy(template_f)
    return numerator, denominator


def energy(features_f: Array) -> Array:
    """Energy at each frequency, summed over channels: complex (..., C, H, W//2+1) -> real (..., 1, H, W//2+1)."""
    return (features_f * features_f.conj()).real.sum(axis=CHANNELS, keepdims=True)


def solve(numerator: Array, denominator: Array, regularisation: float) -> Array:
    """The filter of eq. 2, complex (..., C, H, W//2+1). numerator, denominator: see `learn`."""
    return numerator / (denominator + regularisation)


def respond(search_f: Array, filter_f: Array) -> Array:
    """Spectrum of the response of the filter to the search features (eq. 3).

    search_f: complex (..., C, H, W//2+1). filter_f: see `solve`.
    Returns complex (..., 1, H, W//2+1). Its inverse transform has its peak at the shift of the target.
    """
    return (filter_f.conj() * search_f).sum(axis=CHANNELS, keepdims=True)


def blend(old: Array, new: Array, learning_rate: Array | float) -> Array:
    """One step of the recursion of eq. 13, for the numerator or for the denominator.

    With beta_t = rate (1 - rate)^(p - t), the sums of eq. 13 are this running mean. A rate of 0 returns `old` exactly.
    """
    return old + learning_rate * (new - old)
