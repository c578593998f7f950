"""The gradients of the layer: automatic, closed-form and finite differences agree."""

from __future__ import annotations

import pytest
import torch
from dcfnet.filter.windows import gaussian_label
from dcfnet_train.objectives.correlation_filter import ClosedFormCorrelationFilter, correlation_filter

SIZES = [(7, 7), (8, 8), (6, 9), (9, 6)]


def features(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    template, search = torch.randn(2, 2, 3, height, width, generator=generator, dtype=torch.float64)
    label = torch.from_numpy(gaussian_label(height, width, 1.0)).double()
    return template.requires_grad_(), search.requires_grad_(), label


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("layer", [correlation_filter, ClosedFormCorrelationFilter.apply])
def test_gradients_are_those_of_finite_differences(layer: object, height: int, width: int) -> None:
    template, search, label = features(height, width)
    assert torch.autograd.gradcheck(lambda x, z: layer(x, z, label, 1e-2), (template, search))  # type: ignore[operator]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_closed_form_and_automatic_gradients_agree(height: int, width: int) -> None:
    template, search, label = features(height, width)
    outputs = [
        layer(template, search, label, 1e-2) for layer in (correlation_filter, ClosedFormCorrelationFilter.apply)
    ]
    gradients = [torch.autograd.grad(((g - label) ** 2).sum(), (template, search)) for g in outputs]
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_no_gradient_flows_into_the_label() -> None:
    template, search, label = features(7, 7)
    response = ClosedFormCorrelationFilter.apply(template, search, label.requires_grad_(), 1e-2)
    response.sum().backward()
    assert label.grad is None
    assert response.shape == (2, 1, 7, 7)
