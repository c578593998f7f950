"""Denoising: it trains the same network, resumes exactly, and does not deploy the decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.loop import train
from dcfnet_train.objectives.denoising import Decoder, DenoisingLoss, Noised
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import LAST, Run

from tests.train.test_loop import SMALL, first, losses, pairs

DENOISING = {**SMALL, "patch_size": 44, "objective": "denoising"}


def test_training_removes_more_noise_from_the_same_pairs(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**DENOISING, steps=60)  # type: ignore[arg-type]
    run, noised_pairs = Run.start(recipe, tmp_path), Noised(pairs(footage, recipe), recipe)
    noised, clean = (torch.stack(part) for part in zip(*(noised_pairs[i] for i in range(8)), strict=True))
    assert run.decoder is not None
    loss = DenoisingLoss(run.decoder, margin=2)
    with torch.no_grad():
        before = loss(run.network, noised, clean).item()
    train(run, pairs(footage, recipe), workers=0)
    with torch.no_grad():
        after = loss(run.network, noised, clean).item()
    assert after < 0.5 * before


def test_a_resumed_run_equals_an_uninterrupted_run(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**DENOISING, steps=5, ema=0.5)  # type: ignore[arg-type]
    whole, cut = Run.start(recipe, tmp_path / "whole"), Run.start(recipe, tmp_path / "cut")

    def killed(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    cut.on_step.append(killed)
    with pytest.raises(KeyboardInterrupt):
        train(cut, pairs(footage, recipe), workers=0, save_every=3)
    resumed = Run.resume(tmp_path / "cut")
    assert resumed.step == 3
    actual = load_checkpoint(train(resumed, pairs(footage, recipe), workers=0))
    expected = load_checkpoint(train(whole, pairs(footage, recipe), workers=0))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for kind in ("weights", "average", "decoder", "optimiser"):
        states = getattr(actual, kind), getattr(expected, kind)
        assert states[0].keys() == states[1].keys() != set()
        assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items()), kind


def test_only_the_network_is_deployed_and_its_initial_weights_are_those_of_tracking(tmp_path: Path) -> None:
    file = Run.start(Recipe(objective="denoising"), tmp_path / "denoising").save(LAST)
    tracking = Run.start(Recipe(), tmp_path / "tracking").network.state_dict()
    deployed = load_checkpoint(file).deployed()
    assert deployed.keys() == tracking.keys() == Backbone(ARCHITECTURES["released"]).state_dict().keys()
    assert all(torch.equal(deployed[name], tensor) for name, tensor in tracking.items())


def test_the_noise_has_the_level_of_the_recipe_and_the_pairs_are_those_of_tracking(footage: Path) -> None:
    recipe = Recipe(**DENOISING, steps=1, noise=40.0)  # type: ignore[arg-type]
    clean_pairs = pairs(footage, recipe)
    noised_pairs, (patches, _) = Noised(clean_pairs, recipe), first(clean_pairs, 4)
    noised, clean = (torch.stack(part) for part in zip(*(noised_pairs[i] for i in range(4)), strict=True))
    assert torch.equal(clean, patches)
    noise = noised - clean
    assert noise.std().item() == pytest.approx(40, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.5)
    assert torch.equal(noised_pairs[2][0], noised[2])
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize(("stride", "side"), [(1, 45), (2, 44), (2, 45), (3, 44)])
def test_the_decoder_is_compared_with_the_pixels_that_its_features_cover(stride: int, side: int) -> None:
    """Constant blocks of stride x stride px: their mean and a decoder that repeats it reproduce them exactly."""
    recipe = Recipe(stride=stride)
    decoder, count = Decoder(recipe), (side - 4) // stride
    weight = torch.zeros_like(decoder.transposed.weight)
    for channel in range(3):
        weight[channel, channel, 1 : 1 + stride, 1 : 1 + stride] = 1
    decoder.load_state_dict({"transposed.weight": weight, "transposed.bias": torch.zeros(3)})
    blocks = torch.randn(2, 2, 3, count, count) * 50
    clean = torch.zeros(2, 2, 3, side, side)
    clean[..., 2 : 2 + count * stride, 2 : 2 + count * stride] = blocks.repeat_interleave(stride, 3).repeat_interleave(
        stride, 4
    )

    class Mean(torch.nn.Module):
        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            means = torch.nn.functional.avg_pool2d(patches[..., 2:-2, 2:-2], stride)
            return torch.cat([means, torch.zeros(len(means), 29, count, count)], 1)

    loss = DenoisingLoss(decoder, margin=2)
    assert loss(Mean(), clean, clean).item() == pytest.approx(0, abs=1e-6)
    off = clean.clone()
    off[0, 0, 0, 2, 2] += 10  # one value of one patch of one pair
    assert loss(Mean(), clean, off).item() == pytest.approx(100 / (6 * (count * stride) ** 2), rel=1e-4)
