"""The rules of the ROS 2 node, without ROS."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from dcfnet.cli.targets.births import BirthRule
from dcfnet.cli.targets.detections import Detection
from dcfnet.errors import EngineError
from dcfnet.io.bags.images import decode_message
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.model.confidence import Confidence
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import MultiTracker
from dcfnet_evaluation.rendered import Clip

from tests.conftest import make_raw_pipeline

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "integrations/ros2/dcfnet_ros"
sys.path.insert(0, str(PACKAGE))

from dcfnet_ros.diagnostics import Level, Timing, report  # noqa: E402
from dcfnet_ros.engine import build_engine  # noqa: E402
from dcfnet_ros.following import Counts, Follower  # noqa: E402
from dcfnet_ros.messages import Types, detection_array, detections_of, nanoseconds  # noqa: E402
from dcfnet_ros.parameters import PARAMETERS, Settings  # noqa: E402


def follower(births: int = 1, deaths: int = 0, max_targets: int = 9, kept: int = 3) -> Follower:
    tracker = MultiTracker.of(make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0))
    return Follower(tracker, BirthRule(births, 0.5), deaths, max_targets, kept)


def found(*boxes: Box) -> list[Detection]:
    return [Detection(box, 0.9) for box in boxes]


@pytest.mark.parametrize("early", [True, False])
def test_a_target_starts_in_the_frame_of_its_box_in_any_order_of_messages(clip: Clip, early: bool) -> None:
    own = follower()
    if early:
        own.boxes(found(clip.box(0)), 100)
    assert own.image(clip.frame(0), 100) == []
    if not early:
        own.boxes(found(clip.box(0)), 100)
    (row,) = own.image(clip.frame(1), 200)
    assert row.id == 1
    assert row.box.iou(clip.box(1)) > 0.8
    assert own.counts == Counts(frames=2, started=1)


def test_late_boxes_are_used_in_their_own_frame_while_it_is_kept(clip: Clip) -> None:
    own = follower(kept=2)
    for index in range(3):
        own.image(clip.frame(index), 100 * index + 100)
    own.boxes(found(clip.box(0)), 100)  # no longer kept
    own.boxes(found(clip.box(1)), 150)  # there was no such frame
    assert (own.counts.unused, own.counts.started) == (2, 0)
    own.boxes(found(clip.box(1)), 200)
    assert own.counts.started == 1
    assert own.image(clip.frame(3), 400)[0].box.iou(clip.box(3)) > 0.8


def test_a_box_without_a_stamp_is_of_the_newest_frame_and_corrects(clip: Clip) -> None:
    own = follower()
    own.image(clip.frame(0), 100)
    own.boxes(found(clip.box(0)), 0)
    own.image(clip.frame(1), 200)
    own.boxes(found(clip.box(1)), 0)
    assert (own.counts.started, own.counts.corrections) == (1, 1)
    assert own.statuses() == {"tracked": 1, "uncertain": 0, "lost": 0}


def test_a_repeated_image_is_not_searched(clip: Clip) -> None:
    own = follower()
    own.boxes(found(clip.box(0)), 100)
    own.image(clip.frame(0), 100)
    before = own.image(clip.frame(1), 200)[0]
    (row,) = own.image(clip.frame(2), 200)
    assert row.result is not None
    assert (row.result.reason, row.box) == (Reason.FROZEN_FRAME, before.box)


def test_births_and_the_number_of_targets_are_limited_and_deaths_end_them(clip: Clip) -> None:
    own = follower(max_targets=1, deaths=2)
    own.image(clip.frame(0), 100)
    own.boxes(found(clip.box(0), Box(10, 10, 40, 40)), 100)
    assert own.counts.started == 1
    flat = [np.full((240, 320, 3), level, np.uint8) for level in (90, 91)]
    rows = [own.image(frame, 200 + index) for index, frame in enumerate(flat)]
    assert [row.result.status for (row,) in rows if row.result] == [Status.LOST] * 2
    assert own.image(clip.frame(0), 300) == []
    assert own.counts.ended == 1
    never = follower(births=0)
    never.image(clip.frame(0), 100)
    never.boxes(found(clip.box(0)), 100)
    assert never.counts.started == 0


@pytest.mark.parametrize(("with_boxes", "left"), [(True, 1), (False, 0)])
def test_an_uncertain_target_ends_only_without_boxes(clip: Clip, with_boxes: bool, left: int) -> None:
    """The boxes of a frame come after its results."""
    pipeline = make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0, min_confidence=1.0)
    tracker = MultiTracker.of(dataclasses.replace(pipeline, confidence=Confidence(0.0, {"likeness": 1.0})))
    own = Follower(tracker, BirthRule(1, 0.5), 2, 9, 3)
    for index in range(6):
        rows = own.image(clip.frame(index), 100 + index)
        assert all(row.result is None or row.result.status is Status.UNCERTAIN for row in rows)
        if index == 0 or with_boxes:
            own.boxes(found(clip.box(index)), 0)
    assert len(rows) == left


def test_a_second_target_on_an_object_ends(clip: Clip) -> None:
    tracker = MultiTracker.of(make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0))
    for _ in range(2):
        tracker.add(clip.frame(0), clip.box(0))
    own = Follower(tracker, BirthRule(0, 0.5), 60, 9, 3)
    seen = [[row.id for row in own.image(clip.frame(index), 100 + index)] for index in range(1, 10)]
    assert seen == [[1, 2]] * 5 + [[1]] * 4


def test_a_reset_forgets_targets_candidates_and_waiting_boxes(clip: Clip) -> None:
    own = follower(births=2)
    for stamp in (100, 200):
        own.image(clip.frame(0), stamp)
        own.boxes(found(clip.box(0)), stamp)
    own.boxes(found(clip.box(0)), 300)  # waits
    assert own.reset() == 1
    own.image(clip.frame(0), 300)
    assert own.image(clip.frame(1), 400) == []
    own.boxes(found(clip.box(1)), 400)
    assert own.image(clip.frame(2), 500) == []  # its first frame with a box


def message(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def new_detection() -> SimpleNamespace:
    position = message(x=0.0, y=0.0)
    bbox = message(center=message(position=position), size_x=0.0, size_y=0.0)
    return message(header=None, id="", bbox=bbox, results=[])


def new_hypothesis() -> SimpleNamespace:
    return message(hypothesis=message(class_id="", score=0.0), pose=message(pose=message(orientation=message(w=0.0))))


def test_boxes_go_into_messages_and_back() -> None:
    types = Types(lambda: message(header=None, detections=[]), new_detection, new_hypothesis)
    result = Result(Box(10, 20, 30, 40), 0.5, 9.0, 9.0, Status.TRACKED, Reason.FOUND, 0.4, 0.75)
    lost = Result(Box(1, 2, 3, 4), 0.1, 2.0, 2.0, Status.LOST, Reason.LOW_PSR)
    array = detection_array(types, "header", [TargetRow(7, result.box, result), TargetRow(8, lost.box, lost)])
    assert array.header == "header"
    (detection,) = array.detections  # a lost target is not there
    assert (detection.id, detection.results[0].hypothesis.score) == ("7", 0.75)
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (24.5, 39.5)
    assert detections_of(array, 0.0) == [Detection(result.box, 0.75)]
    assert detections_of(array, 0.8) == []
    detection.bbox.size_x = float("nan")
    assert detections_of(array, 0.0) == []
    assert nanoseconds(message(sec=1_700_000_000, nanosec=5)) == 1_700_000_000_000_000_005


def test_images_of_rclpy_are_read() -> None:
    import array

    rows = np.zeros((2, 16), np.uint8)
    rows[:, :12] = np.arange(24).reshape(2, 12)
    image = message(height=2, width=4, encoding="rgb8", step=16, is_bigendian=0, data=array.array("B", rows.tobytes()))
    assert np.array_equal(decode_message(image, "image", Levels()), np.arange(24).reshape(2, 4, 3)[..., ::-1])


def reported(silence: float | None, problem: str = "", age: float = 0.05, **statuses: int) -> tuple[Level, str]:
    timing = Timing()
    timing.add(age, 0.02)
    timing.add(0.01, 0.04)
    counts = {"tracked": 0, "uncertain": 0, "lost": 0, **statuses}
    shown = report(timing, 1.0, silence, Counts(frames=2), counts, problem, max_age=0.2, stale_after=2.0)
    assert shown.values["frame age, last (ms)"] == "10.0"
    assert shown.values["time per frame, mean (ms)"] == "30.0"
    assert shown.values["time per frame, largest (ms)"] == "40.0"
    assert shown.values["frames per second"] == "2.0"
    return shown.level, shown.message


def test_diagnostics_show_the_most_important_fact() -> None:
    assert reported(0.1, tracked=2, lost=1) == (Level.OK, "3 targets, 1 lost")
    assert reported(0.1) == (Level.OK, "no target")
    assert reported(0.1, tracked=1, age=0.3) == (Level.WARN, "a result was 300 ms old; the limit is 200 ms")
    assert reported(0.1, lost=2) == (Level.WARN, "all 2 targets are lost")
    assert reported(3.0, tracked=1) == (Level.ERROR, "no image for 3.0 s")
    assert reported(None)[0] is Level.STALE
    assert reported(0.1, "the encoding 'x' is not supported") == (Level.ERROR, "the encoding 'x' is not supported")


def test_the_parameters_the_settings_and_the_files_agree() -> None:
    defaults = {parameter.name: parameter.default for parameter in PARAMETERS}
    assert vars(Settings.of(defaults)) == defaults
    with pytest.raises(ValueError, match="preset: 'best' must be one of accurate, balanced, fast"):
        Settings.of({**defaults, "preset": "best"})
    for parameter in PARAMETERS:
        if parameter.range:
            assert parameter.range[0] <= float(parameter.default) <= parameter.range[1], parameter.name
    listed = re.findall(r"^    (\w+): (\S+)  #", (PACKAGE / "config/tracker.yaml").read_text(), re.MULTILINE)
    assert {name: value.strip('"').lower() for name, value in listed} == {
        name: str(value).lower() for name, value in defaults.items() if name not in ("build_engine_only", "autostart")
    }
    page = (ROOT / "docs/ros2.md").read_text()
    assert [name for name in defaults if f"| `{name}` |" not in page] == []


def test_the_package_has_the_files_that_ament_needs() -> None:
    manifest = ElementTree.parse(PACKAGE / "package.xml").getroot()
    assert (manifest.findtext("name"), manifest.findtext("export/build_type")) == ("dcfnet_ros", "ament_python")
    depends = {node.text for node in manifest.iter("exec_depend")}
    imported = set(re.findall(r"^from (\w+_msgs|rclpy|std_srvs)\b", (PACKAGE / "dcfnet_ros/node.py").read_text(), re.M))
    assert imported <= depends
    assert (PACKAGE / "resource/dcfnet_ros").is_file()
    compile((PACKAGE / "launch/tracker.launch.py").read_text(), "launch", "exec")


def test_only_an_engine_file_is_built_again() -> None:
    with pytest.raises(EngineError, match="'deep' must be an engine file"):
        build_engine("deep")
    with pytest.raises(EngineError):
        build_engine("missing.engine")
