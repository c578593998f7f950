"""Adaptation: labels of targets that come back, separate segments for training and gate, and the gate itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.errors import InvalidBoxError
from dcfnet.io.sinks.video import VideoSink
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip, noise_texture, render_clip
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.scores.metrics import centre_errors
from dcfnet_evaluation.sequences import ImageFrames, SequenceError
from dcfnet_train.adaptation import adapting, gate
from dcfnet_train.adaptation.cli import app
from dcfnet_train.adaptation.consistency import Trip, candidates
from dcfnet_train.adaptation.gate import Consistency, Verdict
from dcfnet_train.adaptation.labels import make_labels
from dcfnet_train.adaptation.proposals import propose
from dcfnet_train.adaptation.segments import LENGTH, HeldFrames, Unlabelled
from dcfnet_train.checkpoint import Checkpoint, load_checkpoint, load_shipped
from dcfnet_train.recipe import Recipe
from typer.testing import CliRunner

from tests.evaluation.trees import render_video
from tests.train.footage import make_otb_sequence


class Matching:
    """Template matching within REACH: a tracker that shares no code with dcfnet."""

    REACH = 24  # px

    def init(self, frame: np.ndarray, box: Box) -> None:
        x, y, w, h = (round(value) for value in box)
        self.patch, self.box = frame[y : y + h, x : x + w], box

    def update(self, frame: np.ndarray) -> Box:
        left, top = (max(round(value) - self.REACH, 0) for value in (self.box.x, self.box.y))
        right, bottom = left + round(self.box.w) + 2 * self.REACH, top + round(self.box.h) + 2 * self.REACH
        near = frame[top:bottom, left:right]
        x, y = cv2.minMaxLoc(cv2.matchTemplate(near, self.patch, cv2.TM_CCOEFF_NORMED))[3]
        self.box = Box(left + x, top + y, self.box.w, self.box.h)
        return self.box


class Motionless:
    """A tracker that never moves."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> Box:
        return self.box


@pytest.fixture(scope="module")
def film() -> Clip:
    return render_clip(80, 320, 240, seed=3, occluder=False)


@pytest.fixture(scope="module")
def video(film: Clip) -> Unlabelled:
    return Unlabelled("film", HeldFrames(tuple(frame for frame, _ in film)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same video as files."""
    root = tmp_path_factory.mktemp("film") / "film"
    make_otb_sequence(root, length=80, seed=3)
    return root


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_tracked_target_comes_back_with_its_true_boxes(film: Clip) -> None:
    frames = tuple(film.frame(t) for t in range(LENGTH))
    trip = Trip.take(Matching(), frames, film.box(0), rng())
    truth = np.array([tuple(film.box(t)) for t in range(LENGTH)])
    assert trip.returned()
    assert centre_errors(trip.labels(), truth).max() < 3
    assert trip.score("a", frames).auc > 0.85


def test_a_tracker_that_never_moves_does_not_come_back(video: Unlabelled) -> None:
    """Without the camera shake, it would come back in footage without motion."""
    frames = (video.frames.read(0),) * LENGTH
    for target in range(5):
        generator = np.random.default_rng(target)
        assert not Trip.take(Motionless(), frames, Box(140, 100, 40, 40), generator).returned()
        assert Trip.take(Motionless(), frames, Box(140, 100, 40, 40), generator).score("a", frames).auc < 0.6
        assert Trip.take(Matching(), frames, Box(140, 100, 40, 40), generator).returned()


def test_a_target_that_vanishes_does_not_come_back() -> None:
    """The target crosses a scene for ten frames and vanishes. The tracker then follows the scene in both directions."""
    scene, target = noise_texture(rng(), 240, 320), noise_texture(np.random.default_rng(9), 40, 40)
    frames = [scene.copy() for _ in range(LENGTH)]
    for t, frame in enumerate(frames):
        frame[100:140, 60 + 8 * t : 100 + 8 * t] = target
    box = Box(60, 100, 40, 40)
    assert Trip.take(Matching(), frames, box, rng()).returned()
    frames[10:] = [scene] * 10
    assert not Trip.take(Matching(), frames, box, rng()).returned()


def test_proposals_have_texture_and_change_and_are_inside_the_frame() -> None:
    first = np.full((240, 320, 3), 90, np.uint8)
    first[:, 160:] = noise_texture(np.random.default_rng(1), 240, 160)
    later = first.copy()
    later[120:, 160:] = noise_texture(np.random.default_rng(2), 120, 160)
    boxes = propose(rng(), first, later, 4)
    assert len(boxes) >= 2
    assert all(box.centre[0] > 150 for box in boxes)  # the left half has no texture
    assert boxes[0].centre[1] > 120  # the upper half does not change
    for i, box in enumerate(boxes):
        assert box.x >= box.w / 2 and box.y >= box.h / 2  # noqa: PT018
        assert box.x + 1.5 * box.w <= 320 and box.y + 1.5 * box.h <= 240  # noqa: PT018
        assert all(box.iou(other) <= 0.1 for other in boxes[:i])
    assert propose(rng(), first[:60, :60], later[:60, :60], 4) == []


@pytest.mark.parametrize("length", [80, 97, 300, 3000])
@pytest.mark.parametrize("box", [None, Box(10, 10, 40, 40)])
def test_the_gate_shares_no_frame_with_the_training(length: int, box: Box | None) -> None:
    video = Unlabelled("long", ImageFrames(tuple(Path(f"{i}.png") for i in range(length))), box)
    training, held_out = (
        {i for start in starts for i in range(start, start + LENGTH)}
        for starts in (video.learnt_from(), video.judged_by())
    )
    assert training
    assert held_out
    assert max(training) < min(held_out)
    assert max(held_out) < length
    if box:
        starts = video.learnt_from()
        assert starts == list(
            range(0, len(starts) * (LENGTH - 1), LENGTH - 1)
        )  # each starts with the last frame of the one before


def test_labels_match_the_truth_and_come_from_the_training_part(film: Clip, video: Unlabelled, tmp_path: Path) -> None:
    named = Unlabelled("film", video.frames, film.box(0))
    labels = make_labels([named], Matching(), 0, tmp_path)
    assert 8 <= len(labels.videos) <= labels.tried
    target = labels.videos[0]
    assert (target.times[0], target.centred, len(target.frames)) == (0, True, LENGTH)
    for index in (0, 10, 19):
        (crop, box), true = target.read(index), film.box(index)
        frame = film.frame(index)
        in_crop, in_frame = (
            image[round(y) - 12 : round(y) + 12, round(x) - 12 : round(x) + 12].astype(float)
            for image, (x, y) in ((crop, box.centre), (frame, true.centre))
        )
        assert np.corrcoef(in_crop.ravel(), in_frame.ravel())[0, 1] > 0.8  # the texture at the true position
    assert max(video.times.max() for video in labels.videos) < named.judged_by()[0]
    with pytest.raises(SequenceError, match=r"0 of \d+ targets came back, at least 8 are needed"):
        make_labels([video], Motionless(), 0, tmp_path / "still")


def test_the_same_arguments_yield_the_same_targets(video: Unlabelled) -> None:
    first, second = (list(candidates(video, 19, seed=4)) for _ in range(2))
    assert [target.box for target in first] == [target.box for target in second]
    assert first[1].rng.random() == second[1].rng.random()
    assert [target.box for target in candidates(video, 19, seed=5)] != [target.box for target in first]


def scores(*aucs: float) -> list[Score]:
    return [Score(str(i), 1, auc, 0.5, 0.5, 1.0, 0.0, 0, 1.0, (), ()) for i, auc in enumerate(aucs)]


@pytest.mark.parametrize(
    ("after", "annotated", "unannotated"),
    [
        ((0.55, 0.65, 0.75, 0.85), True, True),
        ((0.50, 0.60, 0.70, 0.80), False, False),  # no difference
        ((0.49, 0.59, 0.69, 0.79), False, False),  # slightly worse on every sequence
        ((0.90, 0.55, 0.65, 0.75), False, False),  # better on average, because of one sequence
        ((0.495, 0.62, 0.70, 0.81), True, False),  # possibly worse, by an invisible amount
    ],
)
def test_the_gate(after: tuple[float, ...], annotated: bool, unannotated: bool) -> None:
    """With annotated sequences, the gain may be uncertain; with consistency, it must be significant."""
    verdict = Verdict.of(scores(0.5, 0.6, 0.7, 0.8), scores(*after), gate.TOLERANCE)
    assert verdict.passed is annotated
    assert replace(verdict, tolerance=gate.UNSEEN).passed is unannotated
    assert verdict.before == pytest.approx(0.65)
    assert verdict.after == pytest.approx(np.mean(after))


def test_the_gate_needs_enough_targets(video: Unlabelled) -> None:
    short = Unlabelled("short", HeldFrames(video.frames.images[:80]))  # type: ignore[attr-defined]
    start = Checkpoint(load_shipped().weights, Recipe(patch_size=64), 0, {})
    with pytest.raises(
        SequenceError, match="targets for the gate: 4, at least 8 are needed; add footage, or use --validate"
    ):
        Consistency([short], 0)(start)


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_too_few_sequences_for_the_gate_are_reported_before_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> Path:
        raise AssertionError("trained")

    monkeypatch.setattr(adapting, "train", train)
    make_otb_sequence(tmp_path / "own/one", length=24)
    options = ["--set=patch_size=64", "--output", tmp_path / "adapted.safetensors"]
    for more, shown in (
        ([], "segments of 20 frames for the gate: 1, at least 2 are needed in the last 25% of the videos"),
        (["--validate", tmp_path / "own"], "sequences for the gate: 1, an interval needs at least 2; add sequences"),
    ):
        code, text = run("--video", folder, *options, *more)
        assert code == 1
        assert shown in text
    make_otb_sequence(tmp_path / "photos", length=2)
    code, text = run("--video", folder, *options, "--photos", tmp_path / "photos")
    assert code == 1
    assert "--photos is not used: synthetic=0 in this recipe" in text


def test_a_model_that_became_worse_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real training with a far too high rate, and a real gate. The previous file remains."""
    monkeypatch.setattr(gate, "FEWEST", 4)
    output = tmp_path / "adapted.safetensors"
    output.write_bytes(b"previous file")
    sets = ["--set=steps=12", "--set=train_lr=10", "--set=batch=4", "--set=patch_size=64", "--workers=0"]
    code, text = run("--video", folder, "--output", output, *sets, "--box=120,80,60,80")
    assert code == 2, text
    assert "refused: the adapted weights are not better" in text
    assert "targets: those that came back to their start" in text
    assert output.read_bytes() == b"previous file"


def test_a_model_that_passes_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[Checkpoint] = []

    def better(self: Consistency, checkpoint: Checkpoint) -> list[Score]:
        scored.append(checkpoint)
        return scores(0.5, 0.6) if len(scored) == 1 else scores(0.6, 0.7)

    monkeypatch.setattr(Consistency, "__call__", better)
    monkeypatch.setattr(Consistency, "check_length", lambda self: None)  # the film is too short for a real gate
    output = tmp_path / "adapted.safetensors"
    code, text = run(
        "--video", folder, "--output", output, "--set=steps=2", "--set=batch=4", "--set=patch_size=64", "--workers=0"
    )
    assert code == 0, text
    assert "AUC 0.5500 before, 0.6500 after: +0.1000 (95% interval +0.1000 to +0.1000, 2 scores; " in text
    assert "the gate needs a difference above 0 and an interval from 0 up)" in text
    start, adapted = scored
    written, shipped = load_checkpoint(output), load_shipped()
    assert (written.step, written.recipe.stride, written.optimiser) == (2, 2, {})
    for name, weights in shipped.weights.items():
        assert np.array_equal(start.weights[name], weights)
        change = (written.weights[name] - weights).abs().max()
        assert 0 < change < 0.01  # the training starts from the shipped weights
        assert np.array_equal(adapted.weights[name], written.weights[name])


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--box", "1,2,3"], "--box 1,2,3: must be four numbers"),
        (["--box", "1,2,30,40", "--box", "1,2,30,40"], "2 --box for 1 --video"),
        (["--box", "900,2,30,40"], "is in the frame of 320 x 240"),
        (["--start", "none.safetensors"], "none.safetensors"),
        (["--recipe", "best"], "--recipe best: must be one of"),
        (["--set", "lambda=1"], "unknown setting lambda"),
        (["--set", "architecture=conv1"], "must be that of the initial weights, released"),
        (["--output", "."], "--output .: is a folder; give the name of a file"),
        (["--validate", "none"], "no such folder"),
    ],
)
def test_a_mistake_is_reported_before_the_tracking(folder: Path, args: list[str], shown: str) -> None:
    code, text = run("--video", folder, *args)
    assert code == 1
    assert shown in text.replace("\n", " ")
    assert "Traceback" not in text


def test_footage_is_a_video_or_a_folder_of_images(tmp_path: Path, folder: Path) -> None:
    with VideoSink(tmp_path / "drive.mp4", 25, (64, 48)) as sink:
        for _ in range(90):
            sink.write(np.zeros((48, 64, 3), np.uint8))
    assert len(Unlabelled.open(tmp_path / "drive.mp4").frames) == 90
    assert len(Unlabelled.open(folder / "img").frames) == len(Unlabelled.open(folder).frames) == 80
    render_video(tmp_path / "short.mp4", 20)
    (tmp_path / "text.mp4").write_text("no video")
    for name, shown in (
        ("short", "20 frames; adaptation needs at least 80"),
        ("text", "as a video"),
        ("no", "no such"),
    ):
        with pytest.raises(SequenceError, match=shown):
            Unlabelled.open(tmp_path / f"{name}.mp4")
    with pytest.raises(InvalidBoxError):
        Unlabelled.open(folder, Box(0, 0, 1, 1))
