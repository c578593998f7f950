"""Faults in the frames of a data set, and dcfnet-eval --faults."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dcfnet_evaluation.cli import app
from dcfnet_evaluation.faults import FAULTS, with_fault
from dcfnet_evaluation.faults.catalogue import LEAD, PERIOD, choose
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from typer.testing import CliRunner

LENGTH = LEAD + PERIOD + 8


@dataclass(frozen=True)
class Pictures:
    """Frames in memory: another picture each, 0 in none of them."""

    length: int = LENGTH

    def __len__(self) -> int:
        return self.length

    def size(self) -> int:
        return self.length

    def read(self, index: int) -> np.ndarray:
        rng = np.random.default_rng(index)
        return rng.integers(1, 256, size=(48, 64, 3), dtype=np.uint8)


FRAMES = Pictures()
BOXES = np.column_stack([np.arange(LENGTH), np.full(LENGTH, 9.0), np.full(LENGTH, 20.0), np.full(LENGTH, 16.0)])
SEQUENCE = AnnotatedSequence("Scene", FRAMES, BOXES)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_hits_its_frames_only_and_is_the_same_again(name: str) -> None:
    """In any order, in another process, and in no other sequence."""
    fault = FAULTS[name]
    faulty, other = with_fault(SEQUENCE, fault), with_fault(AnnotatedSequence("Other", FRAMES, BOXES), fault)
    again = pickle.loads(pickle.dumps(faulty.frames))  # own data
    places = [index for index in range(LENGTH) if not (fault.drops and fault.hits(index))]
    assert len(faulty) == len(faulty.boxes) == len(places)
    changed = []
    for index in reversed(range(len(places))):
        frame, original = faulty.read(index), FRAMES.read(places[index])
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(again.read(index), frame)
        if frame.shape != original.shape or (frame != original).any():
            changed.append(places[index])
            assert fault.hits(places[index])
    assert min(changed, default=LEAD) >= LEAD
    hit = [index for index in places if fault.hits(index)]
    assert len(changed) >= len(hit) // 2  # the lamp flickers in every second frame
    if name in ("noise", "torn", "blocks"):
        assert (other.read(hit[0]) != faulty.read(hit[0])).any()


def test_frozen_dropped_black_and_interlaced_frames() -> None:
    frozen = with_fault(SEQUENCE, FAULTS["freeze"])
    for index in range(LEAD, LEAD + 5):
        np.testing.assert_array_equal(frozen.read(index), FRAMES.read(LEAD - 1))
    np.testing.assert_array_equal(frozen.boxes, BOXES)
    dropped = with_fault(SEQUENCE, FAULTS["drop"])
    np.testing.assert_array_equal(dropped.read(LEAD), FRAMES.read(LEAD + 5))
    np.testing.assert_array_equal(dropped.boxes, np.delete(BOXES, [*range(10, 15), *range(30, 35)], axis=0))
    assert not with_fault(SEQUENCE, FAULTS["black"]).read(LEAD + 2).any()
    woven = with_fault(SEQUENCE, FAULTS["interlace"]).read(LEAD)
    np.testing.assert_array_equal(woven[::2], FRAMES.read(LEAD)[::2])
    np.testing.assert_array_equal(woven[1::2], FRAMES.read(LEAD - 1)[1::2])


def test_a_torn_frame_has_two_parts() -> None:
    torn = with_fault(SEQUENCE, FAULTS["torn"]).read(LEAD)
    own = (torn == FRAMES.read(LEAD)).all(axis=(1, 2))
    row = int(own.argmin())
    assert 12 <= row <= 36
    assert own[:row].all()
    np.testing.assert_array_equal(torn[row:], FRAMES.read(LEAD - 1)[row:])


def test_the_boxes_follow_a_change_of_the_resolution() -> None:
    """The pixels in the box are the same, at half the resolution."""
    faulty = with_fault(SEQUENCE, FAULTS["resolution"])
    frame, box = faulty.read(LEAD), faulty.boxes[LEAD]
    assert frame.shape == (24, 32, 3)
    np.testing.assert_array_equal(box, BOXES[LEAD] / 2)
    whole = FRAMES.read(LEAD).astype(float)
    x, w, h = 10, 20, 16  # the first box with the fault, moved by one pixel to an even row
    expected = whole[8 : 8 + h, x : x + w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(frame[4 : 4 + h // 2, x // 2 : (x + w) // 2] - expected).max() <= 1
    np.testing.assert_array_equal(faulty.boxes[LEAD + 10], BOXES[LEAD + 10])


def test_faults_are_chosen_by_name() -> None:
    assert choose("all") == list(FAULTS.values())
    assert [fault.name for fault in choose("black, noise,black")] == ["black", "noise"]
    with pytest.raises(SequenceError, match="--faults 'hail': must be all or names from noise, "):
        choose("noise,hail")


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_the_command_prints_a_row_for_each_fault_and_continues(dataset: Path, tmp_path: Path) -> None:
    still = ("--add", "still=tests.evaluation.doubles:Identity")
    args = ("otb", dataset, "--sequences", "Alpha", *still, "--output", tmp_path, "--faults")
    code, text = run(*args, "black,drop")
    assert code == 0, text
    lines = {line.split()[1]: line for line in text.splitlines() if len(line.split()) > 5}
    assert "as recorded" in lines["none"]
    assert "3 of 20 frames are black" in lines["black"]
    found = json.loads((tmp_path / "faults.json").read_text())
    assert list(found["faults"]) == ["none", "black", "drop"]
    black = found["faults"]["black"]
    assert black["dcfnet"]["lost"] == pytest.approx(2 / 11)  # the two black frames of 12; the first is not counted
    assert found["faults"]["none"]["dcfnet"] == {"auc": pytest.approx(0.9, abs=0.1), "lost": 0.0, "told": None}
    assert black["still"]["auc"] == found["faults"]["none"]["still"]["auc"]  # it does not look at the frames
    kept = (tmp_path / "black/ope/dcfnet/Alpha.json").stat().st_mtime_ns
    assert run(*args, "black")[0] == 0
    assert (tmp_path / "black/ope/dcfnet/Alpha.json").stat().st_mtime_ns == kept


def test_wrong_names_and_published_boxes_are_refused(dataset: Path, tmp_path: Path) -> None:
    code, text = run("otb", dataset, "--output", tmp_path / "a", "--faults", "hail")
    assert code == 1
    assert "must be all or names from noise" in text.replace("\n", " ")
    code, text = run("otb", dataset, "--output", tmp_path / "a", "--faults", "all", "--results", f"x={tmp_path}")
    assert code == 1
    assert "--faults with --results" in text
    code, text = run("otb", dataset, "--output", tmp_path / "a", "--faults", "all", "--submission", tmp_path / "x.zip")
    assert code == 1
    assert "--faults with --submission" in text
    assert not (tmp_path / "a").exists()
