"""The network: local response normalisation, the released weights, padding in training and deployment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dcfnet_export.released import read_released
from dcfnet_train.backbone import ARCHITECTURES, Backbone, LocalResponseNorm


def test_the_fast_normalisation_equals_the_one_of_torch() -> None:
    features = torch.randn(2, 32, 9, 9, generator=torch.Generator().manual_seed(0)) * 40
    torch.testing.assert_close(
        LocalResponseNorm(32)(features), torch.nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)(features), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_maps_lose_the_margin_and_deployed_maps_keep_the_size(name: str) -> None:
    architecture = ARCHITECTURES[name]
    trained, deployed = Backbone(architecture, padding=False), Backbone(architecture, padding=True)
    deployed.load_state_dict(trained.state_dict())
    patches = torch.randn(1, 3, 125, 125, generator=torch.Generator().manual_seed(0)) * 50
    inner, outer = trained(patches), deployed(patches)
    margin = architecture.margin()
    assert inner.shape == (1, 32, 125 - 2 * margin, 125 - 2 * margin)
    assert outer.shape == (1, 32, 125, 125)
    torch.testing.assert_close(outer[..., margin:-margin, margin:-margin], inner, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("padding", "side"), [(False, 56), (True, 60)])
def test_a_stride_is_a_mean_of_the_last_convolution(padding: bool, side: int) -> None:
    whole = Backbone(ARCHITECTURES["released"], padding)
    half = Backbone(ARCHITECTURES["released"], padding, stride=2)
    half.load_state_dict(whole.state_dict())
    patches = torch.randn(2, 3, 60, 60, generator=torch.Generator().manual_seed(0)) * 50
    convolved = whole.convolutions(patches)
    assert convolved.shape[-1] == side
    blocks = convolved.unflatten(3, (side // 2, 2)).unflatten(2, (side // 2, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(half(patches), whole.normalisation(blocks), rtol=1e-4, atol=1e-4)


def test_conv1_is_table_1_of_the_paper() -> None:
    shapes = [tuple(p.shape) for p in Backbone(ARCHITECTURES["conv1"]).parameters()]
    assert shapes == [(64, 3, 3, 3), (64,), (32, 64, 3, 3), (32,)]
    size = sum(p.numel() for p in Backbone(ARCHITECTURES["conv1"]).parameters()) * 4 / 1000
    assert size == pytest.approx(75, abs=10)  # "only 75KB", section 4.1: 81 KB with biases


def test_dilation_and_conv2_are_table_1_of_the_paper() -> None:
    dilation, conv2 = (Backbone(ARCHITECTURES[name]) for name in ("dilation", "conv2"))
    assert [p.shape[0] for p in dilation.parameters() if p.dim() == 4] == [64, 32]
    assert [p.shape[0] for p in conv2.parameters() if p.dim() == 4] == [64, 64, 128, 32]
    patch = torch.zeros(1, 3, 125, 125)
    assert (dilation(patch).shape[-1], conv2(patch).shape[-1]) == (119, 117)


@pytest.mark.shared
def test_released_weights_give_their_golden_features(shared: Path) -> None:
    """The framework of the authors computed these features from their weights."""
    file = shared / "reference" / "dcfnet2.npz"
    backbone = read_released(file).backbone(padding=True)
    with np.load(file) as arrays, torch.no_grad():
        features = backbone(torch.from_numpy(arrays["golden_input_bgr_minus_mean"])[None])[0]
        np.testing.assert_allclose(features.numpy(), arrays["golden_features"], atol=1e-5)
