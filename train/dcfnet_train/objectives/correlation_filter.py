"""The correlation filter as a layer: `dcfnet.filter.dcf` with automatic gradients, and with those of the paper."""

from __future__ import annotations

from typing import Any

import torch
from dcfnet.filter import dcf
from torch import Tensor
from torch.fft import irfft2, rfft2


def correlation_filter(template: Tensor, search: Tensor, label: Tensor, regularisation: float) -> Tensor:
    """Response to `search` of the filter learnt on `template`: the last layer of the Siamese network (eq. 4).

    template, search: features (B, C, H, W), any real dtype. label: (H, W), with its peak at [0, 0].
    regularisation: lambda for the unnormalised transform. Returns the response (B, 1, H, W), differentiable.
    """
    filter_f = dcf.solve(*dcf.learn(rfft2(template), rfft2(label)), regularisation)
    response_f = dcf.respond(rfft2(search), filter_f)
    response: Tensor = irfft2(response_f, s=label.shape)
    return response


class ClosedFormCorrelationFilter(torch.autograd.Function):
    """The same layer with an explicit backward pass (eqs. 5 to 11). It verifies `correlation_filter` and is as fast.

    `apply` has the arguments of `correlation_filter`; label and regularisation have no gradient. All maps are real, so
    half a spectrum is enough, and rfft2 computes both directions.
    """

    @staticmethod
    def forward(ctx: Any, template: Tensor, search: Tensor, label: Tensor, regularisation: float) -> Tensor:
        """Response (B, 1, H, W), see `correlation_filter`."""
        template_f, search_f, label_f = rfft2(template), rfft2(search), rfft2(label)
        numerator, denominator = dcf.learn(template_f, label_f)
        filter_f = dcf.solve(numerator, denominator, regularisation)
        response_f = dcf.respond(search_f, filter_f)
        ctx.save_for_backward(template_f, search_f, label_f, filter_f, denominator + regularisation, response_f)
        ctx.shape = label.shape
        response: Tensor = irfft2(response_f, s=label.shape)
        return response

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients with respect to template and search features, (B, C, H, W) each."""
        template_f, search_f, label_f, filter_f, denominator, response_f = ctx.saved_tensors
        gradient_f = rfft2(gradient)  # dL/dg^* (eqs. 5 and 6)
        search_gradient_f = gradient_f * filter_f  # dL/dphi(z)^* = dL/dg^* w (eq. 7)
        # Eq. 11 is the sum of dL/dphi(x)^* (eq. 10) and the conjugate of dL/dphi(x) (eq. 9). The first term comes from
        # the numerator. The second, twice a real part, comes from the energy in the denominator.
        through_numerator = gradient_f.conj() * search_f * label_f
        through_energy = 2 * (gradient_f * response_f.conj()).real * template_f
        template_gradient_f = (through_numerator - through_energy) / denominator
        return (
            irfft2(template_gradient_f, s=ctx.shape),
            irfft2(search_gradient_f, s=ctx.shape),
            None,
            None,
        )  # eqs. 8, 11
