"""The ROS 2 node in a process of its own, with real messages: `./justw test-ros`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet import MultiTracker
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2; ./justw test-ros installs it")
pytest.importorskip("vision_msgs", reason="needs vision_msgs; ./justw test-ros builds it")

from tests.ros.camera import Camera  # noqa: E402

PACKAGE = Path(__file__).parents[2] / "integrations/ros2/dcfnet_ros"
MODEL = {"model": "dcfnet", "preset": "fast", "threads": "1"}
CONFIGURE, CLEAN_UP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4  # of lifecycle_msgs/Transition
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module", autouse=True)
def _ros() -> Iterator[None]:
    """A domain of its own on this machine, so that other nodes do not take part."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the node with these parameters, active."""
    running: list[subprocess.Popen[str]] = []

    def run(**parameters: object) -> subprocess.Popen[str]:
        given = {"autostart": "true", **MODEL, **parameters}
        options = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "dcfnet_ros.node", "--ros-args", "-r", "image:=/camera/image_raw", *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
        running.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    camera.node.destroy_node()


def box_of(detection: Any) -> Box:
    centre = detection.bbox.center.position
    return Box.of((centre.x, centre.y), (detection.bbox.size_x, detection.bbox.size_y))


def test_two_processes_give_the_boxes_of_the_library(start: Start, camera: Camera, clip: Clip) -> None:
    process = start()
    camera.connect()
    camera.boxes([clip.box(0)], 0)  # before its image, or after it: both work
    assert camera.image(clip.frame(0), 0).detections == []
    camera.diagnostic("targets started", "1")
    tracker = MultiTracker("dcfnet", preset="fast", threads=1)
    tracker.add(clip.frame(0), clip.box(0))
    for index in range(1, 30):
        result = camera.image(clip.frame(index), index)
        (own,) = tracker.update(clip.frame(index)).values()
        (detection,) = result.detections
        assert (detection.id, detection.results[0].hypothesis.class_id) == ("1", "target")
        assert np.abs(np.subtract(box_of(detection), own.box)).max() < 1e-9
        assert (result.header.frame_id, result.header.stamp.nanosec) == ("front", index % 30 * 33_333_333)
        assert detection.header == result.header
    assert len(camera.results) == 30
    published = camera.node.get_publisher_names_and_types_by_node("dcfnet", "/")
    assert not any("Image" in kind for _, kinds in published for kind in kinds)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_corrections_services_bad_images_and_the_lifecycle(
    start: Start, camera: Camera, clip: Clip, tmp_path: Path
) -> None:
    state = tmp_path / "state.safetensors"
    start(state_file=state, max_age=3600.0)
    camera.connect()
    x, y, w, h = clip.box(0)
    camera.boxes([Box(x + 6, y + 6, w, h)], 0)
    camera.image(clip.frame(0), 0)
    camera.diagnostic("targets started", "1")
    camera.image(clip.frame(1), 1)
    camera.boxes([clip.box(1), Box(10.0, 10.0, 40.0, 40.0)], 1)
    status = camera.diagnostic("targets started", "2")  # the first box was taken, so it starts no target
    assert {entry.key: entry.value for entry in status.values}["corrections"] == "1"
    assert camera.image(clip.frame(2), 2).detections[0].id == "1"
    assert camera.trigger("save_state").success
    assert state.stat().st_size > 1000

    camera.image(clip.frame(3), 3, encoding="xyz8")
    broken = camera.until(lambda: next((s for s in camera.diagnostics if "xyz8" in s.message), None), "an error")
    assert broken.level == b"\x02"
    assert "is not supported; supported are bgr8" in broken.message
    assert len(camera.image(clip.frame(4), 4).detections) >= 1

    assert camera.transition(DEACTIVATE).success
    camera.until(lambda: not camera.node.count_subscribers("/camera/image_raw"), "the end of the subscription")
    assert camera.transition(ACTIVATE).success
    camera.connect()
    assert len(camera.image(clip.frame(5), 5).detections) >= 1
    assert camera.trigger("reset").message == "2 targets forgotten"
    assert camera.image(clip.frame(6), 6).detections == []


def test_compressed_images_and_a_second_configuration(start: Start, camera: Camera, clip: Clip) -> None:
    process = start(image_transport="compressed", autostart="false", deaths=1)
    for _ in range(2):
        assert camera.transition(CONFIGURE).success
        assert camera.transition(ACTIVATE).success
        camera.connect(compressed=True)
        camera.boxes([clip.box(0)], 0)
        assert camera.jpeg(clip.frame(0), 0).detections == []  # a second configuration starts without targets
        camera.diagnostic("targets started", "1")
        (detection,) = camera.jpeg(clip.frame(1), 1).detections
        assert box_of(detection).iou(clip.box(1)) > 0.8
        assert camera.transition(DEACTIVATE).success
        assert camera.transition(CLEAN_UP).success
        camera.diagnostics.clear()
    assert process.poll() is None


def test_a_node_continues_from_its_state_file(start: Start, camera: Camera, clip: Clip, tmp_path: Path) -> None:
    tracker = MultiTracker("dcfnet", preset="fast", threads=1)
    tracker.add(clip.frame(0), clip.box(0))
    tracker.save(tmp_path / "state.safetensors")
    start(state_file=tmp_path / "state.safetensors", restore_state="true")
    camera.connect()
    (detection,) = camera.image(clip.frame(1), 1).detections
    (own,) = tracker.update(clip.frame(1)).values()
    assert np.abs(np.subtract(box_of(detection), own.box)).max() < 1e-9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"births": -1}, "births"),
        ({"model": "missing.onnx"}, "missing.onnx: no such file"),
        ({"build_engine_only": "true"}, "model: 'dcfnet' must be an engine file"),
        ({"preset": "best"}, "'best' must be one of accurate, balanced, fast"),
    ],
)
def test_a_wrong_parameter_ends_the_node_with_its_name(
    start: Start, parameters: dict[str, object], message: str
) -> None:
    process = start(**parameters)
    output, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert message in output + errors
