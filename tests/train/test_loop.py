"""The loop: it lowers the loss, it resumes exactly, and a kill loses no checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, ModelError
from dcfnet.filter.response import find_peaks
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.cli import app
from dcfnet_train.footage.videos import read_videos
from dcfnet_train.loop import learning_rate, train
from dcfnet_train.objectives.loss import PairLoss
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import RECIPES, Recipe
from dcfnet_train.run import LAST, LOG, Run
from typer.testing import CliRunner

from tests.train.footage import make_otb_sequence, make_photos

SMALL = {"patch_size": 45, "batch": 4, "micro_batch": 4, "synthetic": 0.25, "train_lr": 5e-3}


def pairs(footage: Path, recipe: Recipe) -> Pairs:
    photos = sorted((footage / "photos").iterdir())
    return Pairs(read_videos(footage / "videos"), photos, recipe, recipe.steps * recipe.batch)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / LOG).read_text().splitlines()]


def first(data: Pairs, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    patches, shifts = zip(*(data[i] for i in range(count)), strict=True)
    return torch.stack(patches), torch.stack(shifts)


def test_training_lowers_the_loss_of_the_same_pairs(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**SMALL, steps=40)  # type: ignore[arg-type]
    run, data = Run.start(recipe, tmp_path), pairs(footage, recipe)
    batch = first(data, 24)

    def loss() -> float:
        with torch.no_grad():
            return PairLoss.of(recipe)(run.network, *batch).item()

    before = loss()
    train(run, data, workers=0)
    assert len(losses(tmp_path)) == 40
    assert loss() < 0.8 * before


def test_a_resumed_run_equals_an_uninterrupted_run(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**SMALL, steps=6)  # type: ignore[arg-type]
    whole = train(Run.start(recipe, tmp_path / "whole"), pairs(footage, recipe), workers=0)

    class StoppedError(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise StoppedError

    run = Run.start(recipe, tmp_path / "parts")
    run.on_step.append(stop)
    with pytest.raises(StoppedError):
        train(run, pairs(footage, recipe), workers=0, save_every=2)
    resumed = Run.resume(tmp_path / "parts")
    assert resumed.step == 4  # the last checkpoint before the kill
    parts = train(resumed, pairs(footage, recipe), workers=0)
    expected, actual = load_checkpoint(whole), load_checkpoint(parts)
    assert actual.step == expected.step == 6
    for name, tensor in expected.weights.items():
        assert torch.equal(actual.weights[name], tensor), name
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_a_micro_batch_does_not_change_the_gradient(footage: Path, tmp_path: Path, micro_batch: int) -> None:
    recipe = Recipe(**{**SMALL, "micro_batch": micro_batch}, steps=1)  # type: ignore[arg-type]
    run = Run.start(recipe, tmp_path)
    loss = PairLoss.of(recipe)(run.network, *first(pairs(footage, recipe), 4)) / 4
    loss.backward()
    expected = [p.grad.clone() for p in run.network.parameters() if p.grad is not None]
    train(run, pairs(footage, recipe), workers=0)
    actual = [p.grad for p in run.network.parameters()]
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert losses(tmp_path)[0] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_loss_is_summed_over_the_map_and_averaged_over_the_batch(stride: int) -> None:
    """The loss of a zero response is the energy of the label, pi sigma^2. A mean would make the rate 1e-5 too low."""
    recipe = Recipe(patch_size=125, stride=stride)
    pair_loss, side = PairLoss.of(recipe), 121 // stride
    label = pair_loss.label
    assert label.shape == (side, side)
    assert label[0, 0] == 1
    sigma = 125 / 3 * 0.1 / stride
    assert float((label**2).sum()) == pytest.approx(math.pi * sigma**2, rel=1e-3)

    class Zero(torch.nn.Module):
        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(patches), 1, side, side)

    loss = pair_loss(Zero(), torch.zeros(3, 2, 3, 125, 125), torch.zeros(3, 2))
    assert loss.item() / 3 == pytest.approx(math.pi * sigma**2, rel=1e-3)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_desired_response_has_its_peak_at_the_target(stride: int) -> None:
    pair_loss = PairLoss.of(Recipe(stride=stride))
    shifts = torch.tensor([[0.0, 0.0], [12.0, -6.0], [-9.3, 4.7], [-18.0, 18.0]])
    desired = pair_loss.wanted(shifts)
    assert desired.shape == (4, 1, *pair_loss.label.shape)
    torch.testing.assert_close(desired[0, 0], pair_loss.label)
    peaks = find_peaks(desired[:, 0].numpy())
    np.testing.assert_allclose(peaks.shift * stride, shifts.numpy(), atol=0.15)


def test_a_filter_finds_the_target_in_a_displaced_patch(footage: Path) -> None:
    """Checks the sign of the shift: with pixels as features, it has a much lower loss than the opposite shift."""
    recipe = Recipe(**{**SMALL, "patch_size": 96, "stride": 1}, displacement=0.5, augment=False, window=True)
    recipe = recipe.replace(synthetic=0.0, max_gap=1)
    pair_loss, (patches, shifts) = PairLoss.of(recipe), first(pairs(footage, recipe), 6)
    assert (shifts.abs() <= 0.5 * 32).all()
    assert shifts.abs().max() > 8

    class Pixels(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch[:, :, 2:-2, 2:-2]  # the margin of unpadded convolutions

    correct, opposite = (float(pair_loss(Pixels(), patches, sign * shifts)) for sign in (1, -1))
    assert correct < 0.7 * opposite


def test_the_window_is_that_of_the_tracker_and_optional() -> None:
    assert PairLoss.of(Recipe(window=False)).window.min() == 1
    window = PairLoss.of(Recipe()).window
    assert window[0].max() == 0
    assert window[30, 30] == 1  # the centre of 61 x 61


def test_a_run_without_a_periodic_checkpoint_can_resume(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**SMALL, steps=3)  # type: ignore[arg-type]

    def killed(step: int, loss: float) -> None:
        raise KeyboardInterrupt

    cut, whole = Run.start(recipe, tmp_path / "cut"), Run.start(recipe, tmp_path / "whole")
    cut.on_step.append(killed)
    with pytest.raises(KeyboardInterrupt):
        train(cut, pairs(footage, recipe), workers=0)
    train(Run.resume(tmp_path / "cut"), pairs(footage, recipe), workers=0)
    train(whole, pairs(footage, recipe), workers=0)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_schedules() -> None:
    constant, log, cycle = (Recipe(schedule=s, steps=101, train_lr=1e-2) for s in ("constant", "log", "onecycle"))
    assert {learning_rate(constant, step) for step in range(101)} == {1e-2}
    assert learning_rate(log, 0) == pytest.approx(1e-2)
    assert learning_rate(log, 50) == pytest.approx((1e-2 * 1e-5) ** 0.5)
    assert learning_rate(log, 100) == pytest.approx(1e-5)
    assert learning_rate(cycle, 10) == pytest.approx(1e-2)
    assert learning_rate(cycle, 0) < 1e-3
    assert learning_rate(cycle, 100) == pytest.approx(1e-5)


def test_the_papers_recipe() -> None:
    paper = Recipe.load("paper")
    assert (paper.architecture, paper.padding, paper.optimiser) == ("conv1", 1.5, "sgd")
    assert (paper.train_lr, paper.schedule, paper.momentum, paper.weight_decay) == (1e-5, "constant", 0.9, 5e-4)
    assert (paper.batch, paper.max_gap, paper.synthetic, paper.augment) == (16, 10, 0.0, False)
    assert paper.steps == 2_064_200


def test_the_authors_later_recipe() -> None:
    authors = Recipe.load("authors")
    assert (authors.train_lr, authors.final_lr, authors.schedule) == (1e-2, 1e-5, "log")
    assert (authors.architecture, authors.padding, authors.steps) == ("released", 2.0, 5_160_500)


def test_every_recipe_can_be_loaded_and_default_equals_the_defaults() -> None:
    assert {"default", "paper", "authors"} <= set(RECIPES)
    for name in RECIPES:
        Recipe.load(name)
    assert Recipe.load("default") == Recipe()


def test_a_custom_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("steps = 7  # a trial\naugment = false\n")
    assert Recipe.load(str(tmp_path / "mine.toml")) == Recipe(steps=7, augment=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stepz = 7", "unknown setting stepz"),
        ("steps = 7.5", "steps=7.5: must be a whole number"),
        ('augment = "no"', "augment='no': must be true or false"),
        ("steps 7", "cannot be read"),
    ],
)
def test_a_mistake_in_a_recipe_is_reported_with_its_file(tmp_path: Path, text: str, shown: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=shown) as raised:
        Recipe.load(str(tmp_path / "mine.toml"))
    assert "mine.toml" in str(raised.value)


def test_a_missing_recipe_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe='best': must be one of .*paper"):
        Recipe.load("best")
    with pytest.raises(ConfigError, match=r"recipe=.*no such file"):
        Recipe.load(str(tmp_path / "none.toml"))


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**{**SMALL, "train_lr": 1e30}, steps=20)  # type: ignore[arg-type]
    run = Run.start(recipe, tmp_path)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"the loss is \w+, with train_lr=1e\+30; use a lower one"):
        train(run, pairs(footage, recipe), workers=0)
    kept = load_checkpoint(tmp_path / LAST)
    assert kept.step == 0
    torch.testing.assert_close(kept.weights, before)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    file = Run.start(Recipe(), tmp_path).save()
    with safe_open(file, framework="pt") as opened:
        metadata, tensors = opened.metadata(), {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    tensors["convolutions.2.weight"] = torch.zeros(32, 64, 3, 3)
    save_file(tensors, file, metadata)
    with pytest.raises(ModelError, match=r"convolutions\.2\.weight is \(32, 64, 3, 3\), expected \(32, 32, 3, 3\)"):
        load_checkpoint(file)
    save_file(tensors, file, {})
    with pytest.raises(ModelError, match="expected 'dcfnet-checkpoint-1'; use a checkpoint of dcfnet-train"):
        load_checkpoint(file)


@pytest.mark.parametrize(("key", "value"), [("architecture", "vgg"), ("steps", 0), ("train_lr", 0.0), ("augment", 1)])
def test_a_recipe_out_of_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        Recipe().replace(**{key: value})


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_the_command_trains_and_resumes(footage: Path, tmp_path: Path) -> None:
    sets = [part for name, value in {**SMALL, "steps": 3}.items() for part in ("--set", f"{name}={value}")]
    data = ["--videos", footage / "videos", "--photos", footage / "photos", "--output", tmp_path, "--workers", 0]
    code, text = run(*data, *sets)
    assert code == 0, text
    assert "trained 3 steps" in text
    code, text = run(*data, *sets)
    assert code != 0
    assert "--resume" in text
    code, text = run(*data, "--resume")
    assert code == 0, text


@pytest.mark.parametrize(("synthetic", "told"), [(0.0, True), (0.5, False)])
def test_photographs_without_effect_are_told(footage: Path, tmp_path: Path, synthetic: float, told: bool) -> None:
    changes = {**SMALL, "steps": 1, "synthetic": synthetic}
    sets = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    data = ["--videos", footage / "videos", "--photos", footage / "photos", "--output", tmp_path, "--workers", 0]
    code, text = run(*data, *sets)
    assert code == 0, text
    assert ("--photos is not used: synthetic=0 in this recipe" in text) == told


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--set", "lambda=3"], "unknown setting lambda"),
        (["--set", "steps=many"], "many"),
        (["--recipe", "best"], "--recipe best: must be one of"),
        (["--videos", "none"], "none: no such folder"),
        ([], "--videos"),
        (["--resume"], "last.safetensors"),
        (["--threads", "-1"], "--threads"),
    ],
)
def test_a_mistake_is_reported_before_the_training(tmp_path: Path, args: list[str], shown: str) -> None:
    code, text = run(*args, "--output", tmp_path)
    assert code != 0
    assert shown in text
    assert "Traceback" not in text


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
def test_a_boolean_is_set_by_true_or_false(text: str, value: bool) -> None:
    assert Recipe().assign([f"augment={text}"]).augment is value


@pytest.mark.parametrize("text", ["no", "0", "off", ""])
def test_any_other_value_for_a_boolean_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="true or false"):
        Recipe().assign([f"augment={text}"])


def test_the_tracker_of_a_network_has_the_constants_of_its_training() -> None:
    config = Recipe.load("paper").tracker_config()
    assert config.squareness == 0.0
    assert (config.padding, config.label_sigma, config.patch_size) == (1.5, 0.1, 125)
    assert Recipe().tracker_config(stride=2) == TrackerConfig.named("default")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("broken", ["frame", "photo"])
def test_a_broken_image_is_reported_in_one_line(tmp_path: Path, workers: int, broken: str) -> None:
    """Also from a worker process. The run has a checkpoint, so it can resume with a repaired file."""
    make_otb_sequence(tmp_path / "videos" / "first", length=4)
    make_photos(tmp_path / "photos", count=3)
    file = (
        tmp_path / {"frame": "videos/first/img/0002.png", "photo": "photos/1.png"}[broken]
    )  # neither the first nor the last file
    file.write_bytes(b"no image")
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "synthetic": 0.5, "steps": 8}.items()]
    data = ["--videos", tmp_path / "videos", "--photos", tmp_path / "photos", "--output", tmp_path / "run", *sets]
    code, text = run(*data, "--workers", workers)
    assert code == 1
    assert file.name in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) <= 2  # the progress bar and the message
    assert (tmp_path / "run" / LAST).exists()
