"""The focused filter: eq. 1 with a background penalty (Danelljan et al., ICCV 2015) and a temporal penalty (Li et al.,
CVPR 2018).

Most of a search region is background, and eq. 2 learns it as well as the target, so the box can follow the background.
Two terms are added to eq. 1. The term gamma || p w_l ||^2 penalises filter values outside the target. The term
mu || w_l - w'_l ||^2 penalises changes from the previous filter w'; through it the filter remembers earlier frames, so
only the newest template is needed. With the features x of the template, the minimum solves

    x_l sum_k x_k^* w_k + (lambda + mu) w_l + gamma P w_l = x_l y^* + mu w'_l

P multiplies a map by p^2 = 1 - m^2; m is 1 on the target and falls to 0 around it. Without P and mu this is eq. 2.
Conjugate gradients solve it, starting from the previous filter. A preconditioner makes one or two steps sufficient. It
is the exact inverse of the left side with a constant in place of P, from the Sherman-Morrison formula. As in dcf.py,
only operators are used, so the code runs on NumPy, CuPy and torch arrays.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter import dcf
from dcfnet.filter.dcf import Array
from dcfnet.filter.transform import AsArray, MatMul

STEEPNESS = 4.0  # m = exp(-|u|^4): flat on the target, and smooth enough for the few frequencies of a filter
FIRST_STEPS = 10  # solver steps of a first filter, which starts from zero
TINY = 1e-30  # prevents division by zero after convergence


@dataclass(frozen=True)
class SpatialPenalty:
    """P as an operator on spectra (..., K, B+1) of `filter.transform`, and the solver.

    rows: complex64 (K, K), the product with m^2 along the columns of a map. columns, mirrored: complex64 (B+1, B+1),
    the product along its rows, from the stored half of the spectrum and from its mirror image. twice: float32 (B+1,),
    weight of a spectrum column in an inner product: 1 for frequency 0, else 2. share: mean of p^2 over the map. weight,
    temporal: gamma and mu, as shares of the mean energy of the template. steps: solver steps of an update.
    """

    rows: Array
    columns: Array
    mirrored: Array
    twice: Array
    share: float
    weight: float
    temporal: float
    steps: int
    matmul: MatMul

    @classmethod
    def build(
        cls,
        side: int,
        band: int,
        extent: float,
        weight: float,
        temporal: float,
        steps: int,
        asarray: AsArray,
        matmul: MatMul = operator.matmul,
    ) -> SpatialPenalty:
        """The penalty for square maps with the target in the middle. side: px of a map. band: see `Transform`.

        extent: distance from the middle, map px, at which m is 1/e. Other arguments: see the class.
        """
        fine = 16 * side  # samples, 16 per map pixel
        distance = np.abs((np.arange(fine) + 0.5) / 16 - side / 2) / extent  # from the middle; pixel edges at integers
        squared = np.exp(-2 * distance**STEEPNESS)  # m^2 along one axis
        # The origin of a map's spectrum is the centre of its first pixel, half a pixel from the edge.
        order = np.arange(-2 * band, 2 * band + 1)
        spectrum = np.fft.fft(squared)[order] / fine * np.exp(1j * np.pi * order * (1 - 1 / 16) / side)

        def at(frequency: NDArray[np.int_]) -> NDArray[np.complex128]:
            """The spectrum of m^2 at differences of frequencies: a product of maps is a convolution of spectra."""
            values: NDArray[np.complex128] = spectrum[frequency + 2 * band]
            return values

        down, across = np.arange(-band, band + 1), np.arange(band + 1)
        mirrored = at(across + across[:, None])
        mirrored[0] = 0  # frequency zero is its own mirror image
        return cls(
            asarray(at(down[:, None] - down).astype(np.complex64)),
            asarray(at(across - across[:, None]).astype(np.complex64)),
            asarray(mirrored.astype(np.complex64)),
            asarray(np.where(across == 0, 1, 2).astype(np.float32)),
            float(1 - squared.mean() ** 2),
            weight,
            temporal,
            steps,
            matmul,
        )

    def masked(self, spectra: Array) -> Array:
        """Spectra of the maps times m^2, complex64 (..., K, B+1). P is the identity minus this product."""
        mirrored = self.matmul(spectra[..., ::-1, :].conj(), self.mirrored)
        return self.matmul(self.rows, self.matmul(spectra, self.columns) + mirrored)

    def solve(self, template_f: Array, numerator: Array, regularisation: float, before: Array | None = None) -> Array:
        """The focused filter, complex64 (..., C, K, B+1).

        template_f: complex64 (..., C, K, B+1), spectrum of the template. numerator: see `dcf.learn`. before: the
        previous filter. Without one, the solver starts from zero, takes FIRST_STEPS steps and uses no temporal penalty.
        """
        equations = _Equations.of(self, template_f, regularisation, 0.0 if before is None else self.temporal)
        if before is None:
            filter_f, residual, steps = 0 * numerator, numerator, FIRST_STEPS
        else:
            right = numerator + equations.mu * before
            filter_f, residual, steps = before, right - equations.left_side(before), self.steps
        direction = conditioned = equations.preconditioned(residual)
        squared_norm = self._inner(residual, conditioned)
        for steps_left in reversed(range(steps)):
            left_side = equations.left_side(direction)
            step_length = squared_norm / (self._inner(direction, left_side) + TINY)
            filter_f = filter_f + step_length * direction
            if steps_left:
                residual = residual - step_length * left_side
                conditioned = equations.preconditioned(residual)
                last, squared_norm = squared_norm, self._inner(residual, conditioned)
                direction = conditioned + squared_norm / (last + TINY) * direction
        return filter_f

    def _inner(self, one: Array, other: Array) -> Array:
        """Inner product of the maps of two spectra over all channels, times H x W: float32 (..., 1, 1, 1)."""
        return ((one.real * other.real + one.imag * other.imag) * self.twice).sum(axis=(-3, -2, -1), keepdims=True)


@dataclass(frozen=True)
class _Equations:
    """The linear equations of one update.

    template, template_conj: complex64 (..., C, K, B+1). energy: float32 (..., 1, K, B+1), see `dcf.energy`. gamma, mu:
    float32 (..., 1, 1, 1). diagonal: lambda + gamma + mu, the same shape; `left_side` subtracts gamma m^2 again.
    """

    penalty: SpatialPenalty
    template: Array
    template_conj: Array
    energy: Array
    diagonal: Array
    gamma: Array
    mu: Array

    @classmethod
    def of(cls, penalty: SpatialPenalty, template: Array, regularisation: float, temporal: float) -> _Equations:
        energy = dcf.energy(template)
        mean = energy.mean(axis=(-2, -1), keepdims=True)
        gamma, mu = penalty.weight * mean, temporal * mean
        return cls(penalty, template, template.conj(), energy, regularisation + gamma + mu, gamma, mu)

    def left_side(self, filter_f: Array) -> Array:
        """The left side of the equations for a filter."""
        return self._data_term(filter_f) + self.diagonal * filter_f - self.gamma * self.penalty.masked(filter_f)

    def preconditioned(self, right: Array) -> Array:
        """The solution for this right side if P were the constant `share`."""
        diagonal = self.diagonal - self.gamma * (1 - self.penalty.share)
        return (right - self._data_term(right) / (self.energy + diagonal)) / diagonal

    def _data_term(self, filter_f: Array) -> Array:
        """x_l sum_k x_k^* w_k."""
        return self.template * (self.template_conj * filter_f).sum(axis=dcf.CHANNELS, keepdims=True)
