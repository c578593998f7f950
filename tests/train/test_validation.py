"""Validation by tracking, the best checkpoint, and the running mean of the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dcfnet.errors import ConfigError
from dcfnet.tracker import Tracker
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.scores import Score
from dcfnet_train.checkpoint import Checkpoint, load_checkpoint
from dcfnet_train.loop import train
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import BEST, LAST, LOG, Run
from dcfnet_train.validation import Validation

from tests.train.footage import make_otb_sequence
from tests.train.test_loop import SMALL, pairs
from tests.train.test_loop import run as command


def score_of(auc: float) -> Score:
    return Score("mean", 1, auc, 0.5, 0.5, 1.0, 0.0, 0, 1.0, (), ())


def lines(folder: Path, key: str) -> list[float]:
    logged = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [line[key] for line in logged if key in line]


def test_validation_tracks_with_the_current_network(tmp_path: Path) -> None:
    """The weights of the model `dcfnet` track a rendered target through the torch backbone."""
    from importlib.resources import as_file, files

    make_otb_sequence(tmp_path / "clip", length=25, seed=3)
    sequences = open_dataset("otb", tmp_path)
    with as_file(files("dcfnet.model") / "shipped" / "dcfnet.safetensors") as shipped:
        loaded = load_checkpoint(shipped)
    checkpoint = Checkpoint(loaded.weights, Recipe(), 0, {})
    score = Validation(sequences, Tracker("dcfnet").config)(checkpoint)
    assert score.auc > 0.6
    assert score.frames > 25  # several starts


def test_the_best_checkpoint_is_kept_and_returned(footage: Path, tmp_path: Path) -> None:
    aucs = iter([0.4, 0.6, 0.5])
    steps: list[int] = []

    def validate(checkpoint: Checkpoint) -> Score:
        steps.append(checkpoint.step)
        return score_of(next(aucs))

    recipe = Recipe(**SMALL, steps=5, validate_every=2)  # type: ignore[arg-type]
    file = train(Run.start(recipe, tmp_path), pairs(footage, recipe), workers=0, validate=validate)
    assert steps == [2, 4, 5]  # every second step and at the end
    assert file == tmp_path / BEST
    assert (load_checkpoint(file).step, load_checkpoint(file).score) == (4, 0.6)
    assert (load_checkpoint(tmp_path / LAST).step, load_checkpoint(tmp_path / LAST).score) == (5, 0.6)
    assert lines(tmp_path, "auc") == [0.4, 0.6, 0.5]


def test_a_resumed_run_remembers_the_best_score(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**SMALL, steps=4, validate_every=1)  # type: ignore[arg-type]
    run = Run.start(recipe, tmp_path)

    def stop(step: int, auc: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    run.on_validation.append(stop)
    with pytest.raises(KeyboardInterrupt):
        train(run, pairs(footage, recipe), workers=0, save_every=1, validate=lambda _: score_of(0.9))
    resumed = Run.resume(tmp_path)
    assert (resumed.step, resumed.score) == (1, 0.9)
    train(resumed, pairs(footage, recipe), workers=0, validate=lambda _: score_of(0.3))
    assert load_checkpoint(tmp_path / BEST).score == 0.9
    assert load_checkpoint(tmp_path / BEST).step == 1
    assert lines(tmp_path, "auc") == [0.9, 0.3, 0.3, 0.3]


def test_the_running_mean_is_deployed(footage: Path, tmp_path: Path) -> None:
    """With ema=0.5, the mean starts with the weights of the first step and then halves its distance to the weights."""
    recipe = Recipe(**SMALL, steps=4, ema=0.5)  # type: ignore[arg-type]
    run, history = Run.start(recipe, tmp_path), []
    run.on_step.append(lambda *_: history.append(run.network.convolutions[0].weight.detach().clone()))
    file = train(run, pairs(footage, recipe), workers=0)
    mean = history[0]
    for weights in history[1:]:
        mean = 0.5 * mean + 0.5 * weights
    checkpoint = load_checkpoint(file)
    torch.testing.assert_close(checkpoint.deployed()["convolutions.0.weight"], mean)
    torch.testing.assert_close(checkpoint.weights["convolutions.0.weight"], history[-1])
    torch.testing.assert_close(checkpoint.backbone(padding=True).convolutions[0].weight.data, mean)


def test_a_run_with_a_mean_resumes_bit_for_bit(footage: Path, tmp_path: Path) -> None:
    recipe = Recipe(**SMALL, steps=6, ema=0.9)  # type: ignore[arg-type]
    whole = load_checkpoint(train(Run.start(recipe, tmp_path / "whole"), pairs(footage, recipe), workers=0))
    run = Run.start(recipe, tmp_path / "parts")

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    run.on_step.append(stop)
    with pytest.raises(KeyboardInterrupt):
        train(run, pairs(footage, recipe), workers=0, save_every=3)
    parts = load_checkpoint(train(Run.resume(tmp_path / "parts"), pairs(footage, recipe), workers=0))
    for name, tensor in whole.deployed().items():
        assert torch.equal(parts.deployed()[name], tensor), name
        assert not torch.equal(parts.weights[name], tensor), name


def test_half_precision_convolutions_also_lower_the_loss(footage: Path, tmp_path: Path) -> None:
    """Filter and transforms stay float32, so the first losses agree within the precision of the features."""
    first = []
    for precision in ("float32", "bfloat16"):
        recipe = Recipe(**SMALL, steps=20, precision=precision)  # type: ignore[arg-type]
        train(Run.start(recipe, tmp_path / precision), pairs(footage, recipe), workers=0)
        losses = lines(tmp_path / precision, "loss")
        assert sum(losses[-5:]) < sum(losses[:5])
        first.append(losses[0])
    assert first[0] == pytest.approx(first[1], rel=0.02)
    assert first[0] != first[1]


def test_the_command_validates_and_refuses_training_videos_for_validation(footage: Path, tmp_path: Path) -> None:
    make_otb_sequence(tmp_path / "held" / "other", length=22, seed=5)
    sets = [part for name, value in {**SMALL, "steps": 2}.items() for part in ("--set", f"{name}={value}")]
    data = ["--videos", footage / "videos", "--photos", footage / "photos", "--workers", 0, *sets]
    code, text = command(*data, "--output", tmp_path / "a", "--validate", tmp_path / "held")
    assert code == 0, text
    assert "best.safetensors: trained 2 steps" in text
    assert 0 <= load_checkpoint(tmp_path / "a" / BEST).score <= 1
    code, text = command(*data, "--output", tmp_path / "b", "--validate", footage / "videos")
    assert code == 1
    assert "--videos and --validate share videos: first has the same name as first; a score on" in text
    code, text = command(*data, "--output", tmp_path / "c", "--validate", tmp_path / "none")
    assert code == 1
    assert "no such folder" in text


@pytest.mark.parametrize(("key", "value"), [("ema", 1.0), ("ema", -0.1), ("precision", "half"), ("validate_every", 0)])
def test_settings_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        Recipe().replace(**{key: value})


def test_curves_for_tensorboard(footage: Path, tmp_path: Path) -> None:
    """One value for each step and each validation."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    make_otb_sequence(tmp_path / "held" / "other", length=22, seed=5)
    sets = [part for name, value in {**SMALL, "steps": 4}.items() for part in ("--set", f"{name}={value}")]
    data = ["--videos", footage / "videos", "--photos", footage / "photos", "--workers", 0]
    output = tmp_path / "run"
    code, text = command(
        *data, *sets, "--output", output, "--validate", tmp_path / "held", "--tensorboard", "--save-every", 2
    )
    assert code == 0, text
    shown = EventAccumulator(str(output / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.value for event in shown.Scalars("train/loss")] == pytest.approx(lines(output, "loss"), rel=1e-6)
    assert [event.step for event in shown.Scalars("validation/AUC")] == [4]
