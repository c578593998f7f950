"""The scores of this evaluator against those of the got10k toolkit, on the same result files.

The toolkit is the Python reference for OTB and GOT-10k scores. It shares no code with this evaluator.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.published import read_results
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_evaluation.scores.got10k import average_overlap, write_submission
from dcfnet_evaluation.sequences import SequenceError, read_boxes

experiments = pytest.importorskip("got10k.experiments", reason="needs the got10k toolkit")

NAMES = ("Basketball", "Biker", "Bird1", "BlurBody", "Bolt")  # the toolkit accepts only names of its own list
FRAME = (120, 160)


def wander(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """Simulated boxes of a tracker: sub-pixel, with noise and drift in position and size."""
    truth = np.where(np.isnan(truth), 20.0, truth)
    drift = np.cumsum(rng.normal(0, 4, size=(len(truth), 2)), axis=0)
    size = truth[:, 2:] * np.exp(np.cumsum(rng.normal(0, 0.02, size=(len(truth), 2)), axis=0))
    return np.hstack([truth[:, :2] + drift, np.maximum(size, 1)])


def render_tree(root: Path, rng: np.random.Generator, names: Sequence[str], suffix: str = "") -> None:
    """Frames and boxes in the layout of OTB (suffix="img") or GOT-10k (""), with whole and sub-pixel boxes."""
    for number, name in enumerate(names):
        images = root / name / suffix
        images.mkdir(parents=True)
        length = 20 + 7 * number
        walk = 60 + np.cumsum(rng.normal(0, 4, size=(length, 2)), axis=0)
        boxes = np.hstack([walk, rng.uniform(15, 40, size=(length, 2))])
        np.savetxt(root / name / TRUTH[suffix], boxes, fmt="%.4f" if number % 2 else "%.0f", delimiter=",")
        for index in range(length):
            cv2.imwrite(str(images / f"{index + 1:04d}.jpg"), np.zeros((*FRAME, 3), np.uint8))


TRUTH = {"img": "groundtruth_rect.txt", "": "groundtruth.txt"}


def otb_report(root: Path, results: Path, monkeypatch: pytest.MonkeyPatch, names: Sequence[str] = ()) -> Any:
    """The report of ExperimentOTB on the tracker in `results`, offline and without plots."""
    from got10k.datasets import OTB

    monkeypatch.setattr(OTB, "_check_integrity", lambda *_: None)  # it requires all 100 sequences
    if names:
        monkeypatch.setitem(OTB._OTB__version_dict, 2015, list(names))
    experiment = experiments.ExperimentOTB.__new__(experiments.ExperimentOTB)  # its __init__ downloads
    experiment.dataset = OTB(str(root), 2015, download=False)
    experiment.result_dir, experiment.report_dir = str(results), str(results / "reports")
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    monkeypatch.setattr(experiment, "plot_curves", lambda _: None)
    return experiment.report(["tracker"])["tracker"]


def assert_reports_agree(root: Path, results: Path, theirs: Any) -> None:
    """Compares all curves, AUCs and precisions of all sequences, and their means."""
    sequences = open_dataset("otb", root)
    passes = read_results(results / "tracker", sequences)
    scores = [Score.of([passes[sequence.name]], sequence) for sequence in sequences]
    assert {score.sequence for score in scores} == set(theirs["seq_wise"])
    mean = mean_score(scores)
    for score, their in [*((s, theirs["seq_wise"][s.sequence]) for s in scores), (mean, theirs["overall"])]:
        np.testing.assert_allclose(score.success, their["success_curve"], atol=1e-6)
        np.testing.assert_allclose(score.precisions, their["precision_curve"], atol=1e-6)
        assert score.auc == pytest.approx(their["success_score"], abs=1e-6)
        assert score.precision == pytest.approx(their["precision_score"], abs=1e-6)
        assert score.overlap_precision == pytest.approx(their["success_rate"], abs=1e-6)
    assert 0.02 < mean.auc < 0.9  # boxes that are all correct or all wrong would agree for any formula
    assert 0.02 < mean.precision < 1


def test_otb_scores_equal_those_of_the_toolkit(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_tree(tmp_path / "otb", rng, NAMES, "img")
    (tmp_path / "results" / "tracker").mkdir(parents=True)
    for name in NAMES:
        boxes = wander(rng, read_boxes(tmp_path / "otb" / name / TRUTH["img"]))
        np.savetxt(tmp_path / "results" / "tracker" / f"{name}.txt", boxes, fmt="%.3f", delimiter=",")
    theirs = otb_report(tmp_path / "otb", tmp_path / "results", monkeypatch)
    assert_reports_agree(tmp_path / "otb", tmp_path / "results", theirs)


def test_otb_scores_equal_those_of_the_toolkit_on_real_annotations(
    shared: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, results = shared / "data" / "otb", tmp_path / "results"
    names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    (results / "tracker").mkdir(parents=True)
    for name in names:
        boxes = wander(rng, read_boxes(root / name / TRUTH["img"]))
        np.savetxt(results / "tracker" / f"{name}.txt", boxes, fmt="%.3f", delimiter=",")
    # The toolkit cuts David, Diving and Football1 from complete copies; these copies are already cut.
    from got10k.datasets import OTB

    monkeypatch.setattr(OTB, "__getitem__", lambda self, i: ([], read_boxes(Path(self.anno_files[i]))))
    assert_reports_agree(root, results, otb_report(root, results, monkeypatch, names))


def test_a_perfect_tracker_scores_20_of_21_in_both(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_tree(tmp_path / "otb", rng, NAMES, "img")
    (tmp_path / "results" / "tracker").mkdir(parents=True)
    for name in NAMES:
        truth = (tmp_path / "otb" / name / TRUTH["img"]).read_text()
        (tmp_path / "results" / "tracker" / f"{name}.txt").write_text(truth)
    theirs = otb_report(tmp_path / "otb", tmp_path / "results", monkeypatch)
    sequences = open_dataset("otb", tmp_path / "otb")
    passes = read_results(tmp_path / "results" / "tracker", sequences)
    ours = mean_score([Score.of([passes[sequence.name]], sequence) for sequence in sequences])
    assert ours.auc == pytest.approx(20 / 21)
    assert theirs["overall"]["success_score"] == pytest.approx(20 / 21)
    assert ours.precision == theirs["overall"]["precision_score"] == 1


@pytest.fixture
def val(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Five sequences in the layout of GOT-10k. In some frames the target is absent."""
    names = [f"GOT-10k_Val_{i:06d}" for i in range(1, 6)]
    root = tmp_path / "got10k"
    render_tree(root / "val", rng, names)
    (root / "val" / "list.txt").write_text("\n".join(names) + "\n")
    for name in names:
        folder = root / "val" / name
        cover = rng.integers(1, 9, size=len(read_boxes(folder / "groundtruth.txt")))
        cover[[5, 6, 11]] = 0
        np.savetxt(folder / "cover.label", cover, fmt="%d")
        np.savetxt(folder / "absence.label", cover == 0, fmt="%d")
        np.savetxt(folder / "cut_by_image.label", cover * 0, fmt="%d")
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: ({FRAME[1]}, {FRAME[0]})\n")
    return root


def passes_of(sequences: Sequence[Any], rng: np.random.Generator) -> dict[str, list[Pass]]:
    """Two passes per sequence with simulated boxes, which can leave the frame, and times of 1 to 10 ms."""

    def wandering(sequence: Any) -> Pass:
        boxes = np.round(wander(rng, sequence.boxes), 3)
        boxes[0] = sequence.boxes[0]
        length = len(boxes)
        return Pass(0, boxes, ("",) * length, np.full(length, np.nan), rng.uniform(0.001, 0.01, size=length))

    return {sequence.name: [wandering(sequence) for _ in range(2)] for sequence in sequences}


def test_got10k_scores_and_archive_equal_those_of_the_toolkit(
    val: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = open_dataset("got10k", val, subset="val")
    passes = passes_of(sequences, rng)
    results = tmp_path / "results"
    experiment = experiments.ExperimentGOT10k(str(val), "val", str(results), str(tmp_path / "reports"))
    write_submission(passes, tmp_path / "tracker.zip")
    for name, done in passes.items():
        for number, one in enumerate(done, start=1):
            file = results / "GOT-10k" / "theirs" / name / f"{name}_{number:03d}.txt"
            experiment._record(str(file), one.boxes + np.array([1, 1, 0, 0]), one.seconds)
    with zipfile.ZipFile(tmp_path / "tracker.zip") as archive:
        archive.extractall(results / "GOT-10k" / "tracker")

    written = {
        owner: {f.relative_to(results / "GOT-10k" / owner): f.read_text() for f in sorted(files)}
        for owner in ("theirs", "tracker")
        if (files := [f for f in (results / "GOT-10k" / owner).rglob("*") if f.is_file()])
    }
    assert len(written["tracker"]) == 5 * 3
    assert written["tracker"] == written["theirs"]

    monkeypatch.setattr(experiment, "plot_curves", lambda *_: None)
    theirs = experiment.report(["tracker"])["tracker"]["overall"]
    ao, sr50, sr75 = average_overlap(passes, sequences)
    assert ao == pytest.approx(theirs["ao"], abs=1e-6)
    assert sr50 == pytest.approx(theirs["sr"], abs=1e-6)
    assert sr50 == pytest.approx(theirs["succ_curve"][50], abs=1e-6)
    assert sr75 == pytest.approx(theirs["succ_curve"][75], abs=1e-6)
    assert 0 < sr75 < sr50 < 0.95


def test_frames_without_a_box_have_overlap_0_and_cannot_be_submitted(
    val: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    sequences = open_dataset("got10k", val, subset="val")
    passes = {name: done[:1] for name, done in passes_of(sequences, rng).items()}
    done = passes[sequences[0].name][0]
    before, _, _ = average_overlap(passes, sequences)
    done.boxes[1] = np.nan
    assert average_overlap(passes, sequences)[0] < before
    (tmp_path / "old.zip").write_bytes(b"old")
    with pytest.raises(SequenceError, match="000001: frame 1 has no box"):
        write_submission(passes, tmp_path / "old.zip")
    assert (tmp_path / "old.zip").read_bytes() == b"old"
    with pytest.raises(SequenceError, match="A: has 4 passes; a submission needs 1 to 3 per sequence"):
        write_submission({"A": [done] * 4}, tmp_path / "old.zip")


def test_average_overlap_requires_complete_passes_of_all_sequences(val: Path, rng: np.random.Generator) -> None:
    sequences = open_dataset("got10k", val, subset="val")
    passes = passes_of(sequences, rng)
    del passes[sequences[1].name]
    with pytest.raises(SequenceError, match="000002: has no pass; AO needs a pass over every sequence"):
        average_overlap(passes, sequences)
    half = Pass(0, sequences[0].boxes[:5], ("",) * 5, np.zeros(5), np.zeros(5))
    with pytest.raises(
        SequenceError, match="000001: has a pass of 5 frames from frame 0; AO needs passes over all 20 frames"
    ):
        average_overlap({sequences[0].name: [half]}, sequences[:1])
    with pytest.raises(SequenceError, match="0 frames to score"):
        average_overlap({}, [])
