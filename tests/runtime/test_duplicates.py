"""Two targets of a run that follow one object: one of them ends. Targets that cross stay."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.cli.targets.duplicates import APART_FRAMES, SHARED_FRAMES, DuplicateRule
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import MultiTracker
from dcfnet_evaluation.rendered import noise_texture
from typer.testing import CliRunner

from tests.conftest import make_raw_pipeline
from tests.runtime.inputs import write_images

HERE, BESIDE, FAR = Box(100, 100, 40, 40), Box(108, 100, 40, 40), Box(200, 100, 40, 40)  # IoU 0.67 and 0
LIMIT = 30
Pair = tuple[Result, Result]


def result(box: Box, status: Status = Status.TRACKED, corrected: bool = False) -> Result:
    return Result(box, 0.5, 10.0, 10.0, status, Reason.CORRECTED if corrected else Reason.FOUND)


TRACKED, UNCERTAIN, LOST = (result(HERE, status) for status in Status)
TOOK, TOOK_BESIDE = result(HERE, corrected=True), result(BESIDE, corrected=True)
NEAR, AWAY = result(BESIDE), result(FAR)


def ended(frames: Sequence[Pair], limit: int = LIMIT) -> list[tuple[int, int]]:
    """(frame, id) of the targets that end; ids 3 and 8, the older one first."""
    rule = DuplicateRule(limit)
    return [(t, target) for t, (older, younger) in enumerate(frames) for target in rule.add({8: younger, 3: older})]


def test_a_target_that_was_found_again_ends_the_younger_one_on_its_object() -> None:
    gone = [(result(FAR, Status.LOST), TOOK)] * 20
    last = len(gone) + SHARED_FRAMES - 1
    assert ended([*gone, *[(NEAR, TOOK)] * SHARED_FRAMES]) == [(last, 8)]
    assert ended([*gone, *[(TRACKED, result(BESIDE, Status.UNCERTAIN))] * SHARED_FRAMES]) == [(last, 8)]
    assert ended([*gone, *[(NEAR, TOOK)] * (SHARED_FRAMES - 1), *[(AWAY, TOOK)] * 50]) == []
    assert ended([*gone, *[(NEAR, TOOK)] * 3], limit=3) == [(len(gone) + 2, 8)]


def test_the_older_one_ends_if_only_the_younger_one_is_sure() -> None:
    gone = [(result(FAR, Status.LOST), TOOK)] * 20
    assert ended([*gone, *[(UNCERTAIN, TOOK)] * SHARED_FRAMES]) == [(len(gone) + SHARED_FRAMES - 1, 3)]


@pytest.mark.parametrize("others", [(LOST, NEAR), (NEAR, LOST), (UNCERTAIN, result(BESIDE, Status.UNCERTAIN))])
def test_frames_in_which_nothing_is_known_do_not_count(others: Pair) -> None:
    assert ended([others] * 100) == []
    shared = [(TRACKED, NEAR), others] * SHARED_FRAMES
    assert ended(shared)[0] == (2 * SHARED_FRAMES - 2, 8)


def test_targets_that_cross_stay() -> None:
    apart, crossing = [(TRACKED, AWAY)] * APART_FRAMES, [(TRACKED, NEAR)] * (LIMIT - 1)
    assert ended([*apart, *crossing, *apart, *crossing, *apart]) == []


def test_targets_with_a_box_each_stay() -> None:
    assert ended([(TOOK, TOOK_BESIDE)] * 100) == []
    every_tenth = [(TOOK, TOOK_BESIDE), *[(TRACKED, NEAR)] * 9]
    assert ended(every_tenth * 10) == []


def test_of_two_objects_the_one_without_boxes_ends_after_many_frames() -> None:
    apart = [(TRACKED, AWAY)] * APART_FRAMES
    last = APART_FRAMES + LIMIT - 1
    assert ended([*apart, *[(TRACKED, TOOK_BESIDE)] * LIMIT]) == [(last, 3)]
    assert ended([*apart, *[(TOOK, NEAR)] * LIMIT]) == [(last, 8)]
    assert ended([*apart, *[(TRACKED, NEAR)] * LIMIT]) == [(last, 8)]


def test_a_few_wrong_frames_elsewhere_do_not_make_two_objects() -> None:
    wrong = [(AWAY, TOOK)] * (APART_FRAMES - 1)
    assert [target for _, target in ended([*wrong, *[(NEAR, TOOK)] * SHARED_FRAMES])] == [8]


def test_of_three_targets_on_one_object_the_oldest_stays() -> None:
    rule = DuplicateRule(LIMIT)
    frames = [rule.add({9: result(HERE), 4: NEAR, 6: TRACKED}) for _ in range(SHARED_FRAMES)]
    assert (frames[:-1], sorted(frames[-1])) == ([[]] * (SHARED_FRAMES - 1), [6, 9])


def test_no_target_ends_without_deaths() -> None:
    assert ended([(TRACKED, NEAR)] * 100, limit=0) == []


GONE, BACK, COUNT = range(6, 14), (90, 150), 70
START = (30, 150)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target that is hidden, and comes back elsewhere with another look. Then it slowly looks as at first."""
    rng = np.random.default_rng(3)
    scene, own, other = noise_texture(rng, 240, 320, 20), noise_texture(rng, 32, 32, 90), noise_texture(rng, 32, 32, 90)
    frames = []
    for t in range(COUNT):
        noise = rng.integers(0, 6, scene.shape, np.uint8)  # else the frames are frozen
        frame, (x, y) = cv2.add(scene, noise), START if t < GONE.start else BACK
        share = float(np.clip((t - GONE.stop - 4) / 40, 0, 0.7)) if t >= GONE.stop else 1.0
        if t not in GONE:
            frame[y : y + 32, x : x + 32] = cv2.addWeighted(own, share, other, 1 - share, 0)
        frames.append(frame)
    return write_images(tmp_path_factory.mktemp("back"), frames, [f"{t:04d}.png" for t in range(COUNT)])


@pytest.mark.parametrize(("options", "ids"), [((), {"1"}), (("--deaths", "0"), {"1", "2"})])
def test_an_object_that_comes_back_has_one_id(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], ids: set[str]
) -> None:
    pipeline = make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0)
    monkeypatch.setattr("dcfnet.cli.session.open_tracker", lambda options: MultiTracker.of(pipeline))
    detections, out = tmp_path / "det.txt", tmp_path / "b.csv"
    places = {t: START if t < GONE.start else BACK for t in (0, 1, 2, GONE.stop, GONE.stop + 1, GONE.stop + 2)}
    detections.write_text("".join(f"{t + 1},-1,{x + 1},{y + 1},32,32,0.9\n" for t, (x, y) in places.items()))
    done = CliRunner().invoke(app, [str(footage), "--detections", str(detections), "--boxes", str(out), *options])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    at_end = [row for row in rows if int(row["frame"]) == COUNT - 1]
    assert {row["id"] for row in rows} == {"1", "2"}
    assert {row["id"] for row in at_end} == ids
    assert all(Box(*(float(row[side]) for side in "xywh")).iou((*BACK, 32, 32)) > 0.8 for row in at_end)
