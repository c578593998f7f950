"""A filter that looks at the target and stays what it is: what it has outside the target's place costs (Danelljan et
al., ICCV 2015), and so does every change from one lesson to the next (Li et al., CVPR 2018).

Most of a search region is background, and eq. 2 learns it as readily as the target: the box then follows what lies
around. Here the filter's own map is penalised where the target is not, gamma || p w_l ||^2 added to eq. 1, and the way
that it moves from the filter before, mu || w_l - w'_l ||^2: that is its memory, so that of the templates it needs the
newest alone, and what the newest does not speak of stays as it was. With x the template's features the minimum solves

    x_l sum_k x_k^* w_k + (lambda + mu) w_l + gamma P w_l = x_l y^* + mu w'_l

where P multiplies a map by p^2 = 1 - m^2, and m is one on the target and falls to nothing around it. Without P and mu
that is eq. 2. With them, steps of conjugate gradients lead there from the filter of the lesson before: few, since what
solves the equations where P does not tie frequencies together (Sherman and Morrison's inverse of a number and one
product) points the way. Operators only, as in dcf.py.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet import dcf
from dcfnet.backend import Array
from dcfnet.fourier import Place, Product

STEEPNESS = 4.0  # m = exp(-|u|^4): flat on the target, smooth enough at its end for the few frequencies of a filter
FIRST_STEPS = 10  # of the first lesson, which has no filter to begin with
TINY = 1e-30  # what is solved already moves no further


@dataclass(frozen=True)
class SpatialPenalty:
    """P over spectra (..., K, B+1) as in fourier.py, and the equations that it stands in.

    rows, complex64 (K, K), multiply by m^2 down the map; columns and mirrored, complex64 (B+1, B+1), across it, from
    the half of the spectrum that is kept and from its mirror image. twice, float32 (B+1,): how often a column counts.
    share: what P leaves of a filter that is spread evenly. weight, temporal: gamma and mu, as shares of the mean of the
    template's energy.
    """

    rows: Array
    columns: Array
    mirrored: Array
    twice: Array
    share: float
    weight: float
    temporal: float
    steps: int
    product: Product

    @classmethod
    def build(
        cls,
        side: int,
        band: int,
        extent: float,
        weight: float,
        temporal: float,
        steps: int,
        place: Place,
        product: Product = operator.matmul,
    ) -> SpatialPenalty:
        """For maps `side` px wide with the target in their middle; m falls to 1/e at `extent`, px, from there."""
        fine = 16 * side
        away = np.abs((np.arange(fine) + 0.5) / 16 - side / 2) / extent  # of the map's middle, pixel edges at integers
        squared = np.exp(-2 * away**STEEPNESS)
        # A map's spectrum counts from the middle of its first pixel, half a pixel inside its edge.
        order = np.arange(-2 * band, 2 * band + 1)
        spectrum = np.fft.fft(squared)[order] / fine * np.exp(1j * np.pi * order * (1 - 1 / 16) / side)

        def at(frequency: NDArray[np.int_]) -> NDArray[np.complex128]:
            """The mask's spectrum at differences of frequencies: a product of maps is a convolution of spectra."""
            found: NDArray[np.complex128] = spectrum[frequency + 2 * band]
            return found

        down, across = np.arange(-band, band + 1), np.arange(band + 1)
        mirrored = at(across + across[:, None])
        mirrored[0] = 0  # frequency zero is its own mirror image
        return cls(
            place(at(down[:, None] - down).astype(np.complex64)),
            place(at(across - across[:, None]).astype(np.complex64)),
            place(mirrored.astype(np.complex64)),
            place(np.where(across == 0, 1, 2).astype(np.float32)),
            float(1 - squared.mean() ** 2),
            weight,
            temporal,
            steps,
            product,
        )

    def inside(self, spectra: Array) -> Array:
        """Spectra of the maps times m^2, complex64 (..., K, B+1): P leaves the rest."""
        mirrored = self.product(spectra[..., ::-1, :].conj(), self.mirrored)
        return self.product(self.rows, self.product(spectra, self.columns) + mirrored)

    def solve(self, template_f: Array, numerator: Array, regularisation: float, before: Array | None = None) -> Array:
        """The filter, complex64 (..., C, K, B+1), of a template's spectrum and its numerator as `dcf.learn` returns it.

        before: the filter of the lesson before; the first one has none, begins at nothing and takes FIRST_STEPS steps.
        """
        equations = _Equations.of(self, template_f, regularisation, 0.0 if before is None else self.temporal)
        if before is None:
            filter_f, residual, steps = 0 * numerator, numerator, FIRST_STEPS
        else:
            right = numerator + equations.mu * before
            filter_f, residual, steps = before, right - equations.image(before), self.steps
        direction = scaled = equations.nearly_solved(residual)
        descent = self._inner(residual, scaled)
        for left in reversed(range(steps)):
            image = equations.image(direction)
            length = descent / (self._inner(direction, image) + TINY)
            filter_f = filter_f + length * direction
            if left:
                residual = residual - length * image
                scaled = equations.nearly_solved(residual)
                last, descent = descent, self._inner(residual, scaled)
                direction = scaled + descent / (last + TINY) * direction
        return filter_f

    def _inner(self, one: Array, other: Array) -> Array:
        """Inner product of the maps behind two spectra, over all channels, float32 (..., 1, 1, 1), times H x W."""
        return ((one.real * other.real + one.imag * other.imag) * self.twice).sum(axis=(-3, -2, -1), keepdims=True)


@dataclass(frozen=True)
class _Equations:
    """The left side. energy: of the template, per frequency; gamma, mu and diagonal, lambda + gamma + mu, of which P
    takes some back: float32 (..., 1, 1, 1)."""

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

    def image(self, filter_f: Array) -> Array:
        """The left side for a filter."""
        return self._along(filter_f) + self.diagonal * filter_f - self.gamma * self.penalty.inside(filter_f)

    def nearly_solved(self, right: Array) -> Array:
        """The filter for a right side, were P the same at every place."""
        diagonal = self.diagonal - self.gamma * (1 - self.penalty.share)
        return (right - self._along(right) / (self.energy + diagonal)) / diagonal

    def _along(self, filter_f: Array) -> Array:
        """The filter's answer to the template, laid upon the template's channels."""
        return self.template * (self.template_conj * filter_f).sum(axis=dcf.CHANNELS, keepdims=True)
