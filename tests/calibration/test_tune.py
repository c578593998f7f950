"""The search for constants: it uses no held-out sequence, it can continue, and a model stores its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from dcfnet import Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.model.file import PRESETS_KEY, SHIPPED, parse_model
from dcfnet_calibration.cli import app
from dcfnet_calibration.scoring import Scorer, starts_of
from dcfnet_calibration.space import SPACE, check_tunable, space_of
from dcfnet_calibration.tune import Tuning, tune, write_tuned
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from typer.testing import CliRunner


@dataclass
class Hill:
    """A scorer without tracking: the AUC falls with the distance of the learning rate from `top`. It records calls."""

    top: float = 0.02
    model: Any = field(default_factory=load_model)
    config: TrackerConfig = field(default_factory=TrackerConfig)
    starts: int = 1
    limit: int | None = None
    calls: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    def scores(self, constants: Mapping[str, float], sequences: Sequence[AnnotatedSequence]) -> list[Score]:
        rate = constants["learning_rate"]
        self.calls.append((rate, tuple(sequence.name for sequence in sequences)))
        tops = [self.top + 0.0005 * "ABCDEF".index(sequence.name) for sequence in sequences]
        aucs = [1 - 20 * abs(rate - top) for top in tops]
        return [Score(s.name, 9, a, a, a, 1, 0, 0, 1, (), ()) for s, a in zip(sequences, aucs, strict=True)]


def named(sequences: list[AnnotatedSequence]) -> list[AnnotatedSequence]:
    return [replace(sequences[0], name=name) for name in "ABCDEF"]


def search(scorer: Any, sequences: list[AnnotatedSequence], folder: Path, trials: int, on_trial: Any = None) -> Tuning:
    space = space_of(["learning_rate"], scorer.config)
    return tune(scorer, sequences, space, folder, trials, 3, 0, on_trial or (lambda name, best: None))


def test_the_search_finds_the_top_and_no_fold_uses_its_held_out_sequences(
    sequences: list[AnnotatedSequence], tmp_path: Path
) -> None:
    scorer = Hill()
    tuning = search(scorer, named(sequences), tmp_path, 25)
    assert tuning.constants["learning_rate"] == pytest.approx(0.02125, rel=0.1)
    assert tuning.significant
    assert [score.sequence for score in tuning.original] == [*"ADBECF"]
    for held_out, constants in zip(("AD", "BE", "CF"), tuning.fold_constants, strict=True):
        rates = [rate for rate, names in scorer.calls if set(names) == set(held_out)]
        assert rates == [0.01, constants["learning_rate"]]
        training = [names for rate, names in scorer.calls if not set(names) & set(held_out)]
        assert len(training) >= 25
    assert tuning.gain.difference == pytest.approx(mean_score(tuning.tuned).auc - mean_score(tuning.original).auc)
    report = json.loads((tmp_path / "tuned.json").read_text())
    assert report["constants"] == tuning.constants
    assert report["held_out"]["interval"] == [tuning.gain.low, tuning.gain.high]
    assert report["conditions"]["sequences"] == [[name, 16] for name in "ABCDEF"]


def test_if_the_original_constants_are_best_they_stay_without_a_gain(
    sequences: list[AnnotatedSequence], tmp_path: Path
) -> None:
    tuning = search(Hill(top=0.00875), named(sequences), tmp_path, 4)
    assert tuning.constants == {"learning_rate": 0.01}
    assert not tuning.significant
    assert tuning.gain.difference == 0


def test_a_stopped_search_continues_with_the_same_trials(sequences: list[AnnotatedSequence], tmp_path: Path) -> None:
    whole = search(Hill(), named(sequences), tmp_path / "whole", 13)
    trials: list[str] = []

    def stop(name: str, best: float) -> None:
        trials.append(name)
        if len(trials) in (1, 17):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(Hill(), named(sequences), tmp_path / "parts", 13, stop)
    scorer = Hill()
    tuning = search(scorer, named(sequences), tmp_path / "parts", 13, stop)
    assert (tuning.constants, tuning.fold_constants) == (whole.constants, whole.fold_constants)
    assert len(trials) == 4 * 13
    longer = search(Hill(), named(sequences), tmp_path / "parts", 15, stop)
    assert len(trials) == 4 * 15
    uninterrupted = search(Hill(), named(sequences), tmp_path / "other", 15)
    assert longer.fold_constants == uninterrupted.fold_constants


def test_a_folder_of_another_search_is_refused_with_the_differences(
    sequences: list[AnnotatedSequence], tmp_path: Path
) -> None:
    search(Hill(), named(sequences), tmp_path, 2)
    with pytest.raises(ConfigError, match="contains a search with different starts, limit: add --fresh"):
        search(Hill(starts=5, limit=9), named(sequences), tmp_path, 2)
    with pytest.raises(ConfigError, match="different sequences"):
        search(Hill(), named(sequences)[::-1], tmp_path, 2)  # the order changes the folds


def test_the_space_has_valid_constants_and_includes_the_values_of_the_model() -> None:
    config = TrackerConfig(padding=4, regularisation=1e-9)
    space = space_of(SPACE, config)
    assert list(space) == list(SPACE)
    for name, values in space.items():
        assert values.low <= getattr(config, name) <= values.high
        for end in (values.low, values.high):
            config.replace(**{name: end})
    with pytest.raises(ConfigError, match="cannot search rate; there are learning_rate"):
        space_of(["rate", "padding"], config)


def test_scores_come_from_the_tracker_and_are_cached(
    sequences: list[AnnotatedSequence],
) -> None:
    model = load_model("dcfnet")
    batches: list[int] = []

    def backbone(patches: np.ndarray) -> np.ndarray:
        batches.append(len(patches))
        return np.repeat(patches[:, :1, ::2, ::2], 32, axis=1)

    scorer = Scorer(model, model.preset("fast"), backbone, starts=1, limit=5)
    constants = {"learning_rate": 0.01}
    first = scorer.scores(constants, sequences[:2])
    count = len(batches)
    assert first == scorer.scores(constants, sequences[:2])
    assert len(batches) == count
    assert [score.frames for score in first] == [5, 5]
    assert all(0.4 < score.auc <= 20 / 21 for score in first)
    assert scorer.scores({"learning_rate": 0.5}, sequences[:1])[0] != first[0]


def test_starts_are_spread_over_the_sequence(sequences: list[AnnotatedSequence]) -> None:
    long = replace(sequences[0], frames=range(119), boxes=np.repeat(sequences[0].boxes[:1], 119, axis=0))  # type: ignore[arg-type]
    assert [start.index for start in starts_of(long, 1)] == [0]
    assert [start.index for start in starts_of(long, 4)] == [0, 26, 52, 78]  # the 20 starts of TRE are in 0 .. 99
    assert len(starts_of(long, 20)) == 20
    assert [start.index for start in starts_of(sequences[0], 5)] == [0]  # too short for a second start


def make_clip(folder: Path, boxes: np.ndarray) -> None:
    (folder / "img").mkdir(parents=True)
    texture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for i in range(len(boxes)):
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.png"), texture)
    rows = [",".join(str(value) for value in np.add(row, [1, 1, 0, 0])) for row in boxes]
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, " ".join(result.output.split())


def test_clips_are_refused_by_name(sequences: list[AnnotatedSequence], tmp_path: Path) -> None:
    sizes = np.linspace(10, 20, 8)  # grows at the centre of 80 x 60
    make_clip(tmp_path / "Middle", np.stack([40 - sizes / 2, 30 - sizes / 2, sizes, sizes], axis=1))
    make_clip(tmp_path / "Still", np.tile([3.0, 4, 20, 20], (8, 1)))
    make_clip(tmp_path / "Moving", np.stack([np.arange(8) * 2.0, np.full(8, 4), *np.full((2, 8), 20)], axis=1))
    repeated = np.repeat([0.0, 6], [5, 3])  # the annotation of a slow target repeats its boxes
    make_clip(tmp_path / "Slow", np.stack([repeated, np.full(8, 4), *np.full((2, 8), 20)], axis=1))
    code, text = run("tune", tmp_path, "--output", tmp_path / "out", "--folds", 3)
    assert code == 1
    assert "in Middle, Still: these are target-centred clips" in text
    assert not (tmp_path / "out").exists()
    check_tunable(sequences, 3)
    with pytest.raises(
        SequenceError, match="3 sequences cannot be divided into 4 folds: add sequences, or use --folds 2"
    ):
        check_tunable(sequences, 4)


def test_the_command_searches_continues_and_writes_a_tuned_model(footage: Path, tmp_path: Path) -> None:
    options = ["tune", footage, "--constants", "learning_rate,scale_step", "--starts", 1, "--limit", 6, "--folds", 3]
    options += ["--preset", "fast", "--output", tmp_path / "search"]
    code, text = run(*options, "--trials", 2)
    assert code == 0, text
    assert "on held-out sequences: AUC" in text
    code, text = run(*options, "--trials", 3, "--into", tmp_path / "tuned.onnx")
    assert code == 0, text
    constants = json.loads((tmp_path / "search/tuned.json").read_text())["constants"]
    tuned, shipped = load_model(tmp_path / "tuned.onnx"), load_model()
    assert tuned.config == shipped.config.replace(**constants)
    assert tuned.preset("accurate").learning_rate == constants["learning_rate"]
    assert tuned.weights_sha256 == shipped.weights_sha256
    graphs = [onnx.load_from_string(model.onnx).graph for model in (tuned, shipped)]
    assert graphs[0] == graphs[1]
    code, text = run(*options[:-2], "--output", tmp_path / "search", "--trials", 3, "--seed", 1)
    assert code == 1
    assert "different seed: add --fresh" in text
    code, text = run(*options, "--trials", 2, "--seed", 1, "--fresh")
    assert code == 0, text


def test_a_constant_without_effect_on_the_model_is_not_searched(footage: Path, tmp_path: Path) -> None:
    options = ["--starts", 1, "--limit", 4, "--folds", 2, "--preset", "fast", "--trials", 2]
    code, text = run("tune", footage, "--constants", "label_sigma,padding", *options, "--output", tmp_path / "deep")
    assert code == 0, text
    assert "label_sigma is not searched: the levels of deep.onnx have their own" in text
    assert list(json.loads((tmp_path / "deep/tuned.json").read_text())["constants"]) == ["padding"]
    code, text = run("tune", footage, "--constants", "label_sigma", *options, "--output", tmp_path / "none")
    assert code == 1
    assert "cannot search no constants" in text


@pytest.mark.parametrize("name", SHIPPED)
def test_the_scores_are_those_of_the_whole_model(sequences: list[AnnotatedSequence], name: str) -> None:
    model = load_model(name)
    config = model.preset("fast")
    scorer = Scorer(model, config, open_backbone(model, side=config.patch_size), starts=1, limit=6)
    (score,) = scorer.scores({}, sequences[:1])
    expected = Score.of([run_pass(Tracker(name, preset="fast"), sequences[0], None, 6)], sequences[0])
    assert replace(score, fps=0) == replace(expected, fps=0)


def test_a_preset_that_overrides_a_tuned_constant_is_refused(tmp_path: Path) -> None:
    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    onnx.helper.set_model_props(proto, metadata | {PRESETS_KEY: json.dumps({"mine": {"padding": 1.5}})})
    model = parse_model(proto.SerializeToString(), "m.onnx")
    with pytest.raises(ConfigError, match=r"preset mine of m\.onnx overrides the tuned padding; use another --preset"):
        write_tuned(model, {"padding": 1.75, "learning_rate": 0.02}, "mine", tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())
