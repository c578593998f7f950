"""The confidence: its fit on tracked sequences, its quality on others, and its way into a model and into results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet import Status, Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.errors import ConfigError
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.model.confidence import TERMS, Confidence, terms_of
from dcfnet_calibration.cli import app
from dcfnet_calibration.confidence import Observations, Quality, Recorder, fit, held_out, write_confidence
from dcfnet_evaluation.rendered import render_clip
from typer.testing import CliRunner


def chances(likeness: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Of a good box: 1 / (1 + exp(-(4 + 4 log(likeness) + 1.5 log(typical)))). typical: PSR x peak x likeness, (N,)."""
    return 1 / (1 + np.exp(-(4 + 4 * np.log(likeness) + 1.5 * np.log(typical))))


def observations(rng: np.random.Generator, sequences: int = 12, frames: int = 150) -> Observations:
    """Frames with these chances of a good box; the other terms say nothing."""
    likeness, noise = rng.uniform(0.02, 1, sequences * frames), rng.uniform(5, 20, sequences * frames)
    typical = np.array([10.0, 0.4, 0.5]) * rng.uniform(0.5, 1.5, (len(likeness), 1))
    good = rng.uniform(size=len(likeness)) < chances(likeness, typical.prod(axis=1))
    overlap = np.where(good, rng.uniform(0.51, 1, len(good)), rng.uniform(0, 0.4, len(good)))
    return Observations(terms_of(likeness, noise / 20, noise, typical), overlap, np.arange(len(good)) // frames)


def test_the_fit_finds_the_probabilities(rng: np.random.Generator) -> None:
    found = fit(observations(rng))
    likeness, typical = np.array([0.1, 0.3, 0.3, 0.8]), np.array([2.0, 0.7, 3.0, 2.0])
    psr, peak = np.full(4, 10.0), np.full(4, 0.6)
    responses = np.stack([psr, np.full(4, 0.1), typical], axis=1)  # their product is `typical`
    np.testing.assert_allclose(found(likeness, peak, psr, responses), chances(likeness, typical), atol=0.06)


def test_held_out_probabilities_are_calibrated_and_separate(rng: np.random.Generator) -> None:
    observed = observations(rng)
    quality = Quality.of(held_out(observed, 4), observed)
    assert quality.auroc > 0.9
    assert quality.error < 0.05
    assert 0 < quality.missed < 0.3
    assert 0 < quality.false_alarms < 0.3
    random = Quality.of(rng.uniform(size=len(observed.overlap)), observed)
    assert abs(random.auroc - 0.5) < 0.05
    assert random.error > 0.2


def test_a_sequence_is_never_in_its_own_fit(rng: np.random.Generator) -> None:
    """In sequence 0 the likeness says the opposite. Its probabilities follow the others all the same."""
    observed = observations(rng, sequences=6, frames=80)
    opposite = observed.sequence == 0
    overlap = np.where(opposite, np.where(observed.good, 0.2, 0.8), observed.overlap)
    found = held_out(Observations(observed.terms, overlap, observed.sequence), 6, ("likeness",))
    assert np.corrcoef(found[opposite], observed.terms[opposite, 0])[0, 1] > 0.9


def test_observations_that_cannot_be_fitted_are_refused(rng: np.random.Generator) -> None:
    observed = observations(rng, sequences=3)
    with pytest.raises(ConfigError, match="3 sequences: must be at least as many as folds, 8"):
        held_out(observed, 8)
    with pytest.raises(ConfigError, match=r"a share of 1\.00 of the frames: a fit needs frames of both kinds"):
        fit(observed.of(observed.good))


@pytest.mark.parametrize(
    "declared",
    [
        [],
        {"bias": 1},
        {"bias": 1, "weights": {}},
        {"bias": 1, "weights": {"colour": 1}},
        {"bias": float("nan"), "weights": {"likeness": 1}},
        {"bias": "1", "weights": {"likeness": 1}},
    ],
)
def test_other_content_is_no_confidence(declared: Any) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Confidence.parse(declared)


def test_the_terms_of_three_frames() -> None:
    """The second target has no typical response yet: its own counts. The third is below all limits."""
    likeness, peak, psr = np.array([0.5, 0.4, -0.2]), np.array([0.6, 0.7, 0.1]), np.array([10.0, 5.0, -1.0])
    typical = np.array([[8.0, 0.5, 0.25], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1]])
    expected = [
        [0.5, math.log(0.5), 0.6, math.log(11), 0.0],
        [0.4, math.log(0.4), 0.7, math.log(6), math.log(5.0 * 0.7 * 0.4)],
        [-0.2, math.log(0.01), 0.1, 0.0, math.log(0.1)],
    ]
    np.testing.assert_allclose(terms_of(likeness, peak, psr, typical), expected, rtol=1e-12, atol=1e-15)
    fit = Confidence.parse({"bias": -1.0, "weights": {"log_likeness": 2.0, "log_typical": 0.5}})
    scores = [-1 + 2 * row[1] + 0.5 * row[4] for row in expected]
    found = fit(likeness, peak, psr, typical)
    np.testing.assert_allclose(found, [1 / (1 + math.exp(-score)) for score in scores], rtol=1e-12)


def test_the_calibration_observes_the_terms_that_the_tracker_uses(tmp_path: Path) -> None:
    """The confidence of each result follows from the observed terms, from the first frame on and without texture."""
    fitted = Confidence(-1.0, {"log_likeness": 1.5, "peak": 0.5, "log_psr": 0.3, "log_typical": 0.9})
    write_confidence(load_model("deep"), fitted, tmp_path / "model.onnx")
    clip, pipeline = render_clip(16), open_pipeline(tmp_path / "model.onnx", "cpu", threads=1)
    recorder, tracker = Recorder(pipeline), Tracker.of(pipeline)
    for each in (recorder, tracker):
        each.init(clip.frame(0), clip.box(0))
    shown = [clip.frame(t) for t in range(1, 16)]
    results = [recorder.update(frame) for frame in shown]
    assert results == [tracker.update(frame) for frame in shown]
    confidences = [result.confidence for result in results]
    np.testing.assert_array_equal(fitted.of_terms(recorder.terms), confidences)
    typical = recorder.terms[:, TERMS.index("log_typical")]
    first = results[0]
    assert typical[:2] == pytest.approx(math.log(first.psr * first.peak * first.likeness))  # no typical one before
    assert np.unique(typical).size > 10  # then a running mean


@pytest.mark.parametrize("certain", [True, False])
def test_a_model_with_a_fit_gives_results_with_a_confidence(certain: bool, tmp_path: Path) -> None:
    bias = 8.0 if certain else -8.0
    write_confidence(load_model("deep"), Confidence(bias, {"likeness": 0.1}), tmp_path / "model.onnx")
    clip, tracker = render_clip(4, occluder=False), Tracker(tmp_path / "model.onnx", device="cpu")
    tracker.init(clip.frame(0), clip.box(0))
    result = tracker.update(clip.frame(1))
    assert result.likeness > 0.2
    assert result.confidence == pytest.approx(1 / (1 + np.exp(-bias - 0.1 * result.likeness)))
    assert result.status is (Status.TRACKED if certain else Status.UNCERTAIN)
    assert result.reason.value == ("found" if certain else "low_confidence")
    assert tracker.update(None).confidence == 0


def test_without_a_fit_there_is_no_confidence() -> None:
    clip, tracker = render_clip(3, occluder=False), Tracker("dcfnet", device="cpu")
    tracker.init(clip.frame(0), clip.box(0))
    result = tracker.update(clip.frame(1))
    assert result.confidence is None
    assert result.likeness > 0.2
    assert tracker.update(None).confidence is None


def test_the_command_says_what_it_cannot_fit(footage: Path, tmp_path: Path) -> None:
    arguments = ["confidence", str(footage), "--model", "deep", "--starts", "1", "--output", str(tmp_path / "fit.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "must be at least as many as folds" in result.output
    result = CliRunner().invoke(app, [*arguments, "--folds", "2"])
    assert (result.exit_code == 0) == (tmp_path / "fit.json").exists()
    if result.exit_code == 0:
        assert json.loads((tmp_path / "fit.json").read_text())["weights"]
    else:
        assert "a fit needs frames of both kinds" in result.output


@pytest.mark.parametrize(
    ("command", "option", "message"),
    [
        ("ranges", "--output", "FILE is not a folder; choose another --output"),
        ("tune", "--output", "FILE is not a folder; choose another --output"),
        ("tune", "--into", "FILE is not a folder; choose another --into"),
        ("confidence", "--output", "FILE is not a folder; choose another --output"),
        ("confidence", "--into", "FILE is not a folder; choose another --into"),
    ],
)
def test_an_output_that_cannot_be_written_ends_the_command_before_it_measures(
    tmp_path: Path, command: str, option: str, message: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = CliRunner().invoke(app, [command, str(tmp_path / "no data"), option, str(file / "new")])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"dcfnet-calibrate: {option} {file / 'new'}: {message.replace('FILE', str(file))}"
    ]
