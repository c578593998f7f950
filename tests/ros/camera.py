"""The other process of the tests with ROS: a camera, a detector, and a reader of the results."""

from __future__ import annotations

import array
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import rclpy
from dcfnet.result import Box
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

PATIENCE = 20.0  # s


class Camera:
    """Publishes images and boxes as other nodes do, and keeps all results."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("camera")
        self._images = self.node.create_publisher(Image, "/camera/image_raw", qos_profile_sensor_data)
        self._compressed = self.node.create_publisher(
            CompressedImage, "/camera/image_raw/compressed", qos_profile_sensor_data
        )
        self._boxes = self.node.create_publisher(Detection2DArray, "/dcfnet/boxes", 10)
        self._clients = {  # made early: a request can be lost before both sides know each other
            name: self.node.create_client(kind, f"/dcfnet/{name}")
            for name, kind in (("reset", Trigger), ("save_state", Trigger), ("change_state", ChangeState))
        }
        self.results: list[Any] = []
        self.diagnostics: list[Any] = []
        self.node.create_subscription(Detection2DArray, "/dcfnet/detections", self.results.append, 10)
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: self.diagnostics.append(message.status[0]), 10
        )

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Spins until `done` returns something true."""
        deadline = time.monotonic() + PATIENCE
        while not (found := done()):
            assert time.monotonic() < deadline, f"waited for {what} in vain; diagnostics: {self.diagnostics[-1:]}"
            rclpy.spin_once(self.node, timeout_sec=0.02)
        return found

    def connect(self, compressed: bool = False) -> None:
        """Waits until messages arrive in both directions."""
        publishers = (self._compressed if compressed else self._images, self._boxes)
        self.until(lambda: all(p.get_subscription_count() for p in publishers), "the node")
        self.until(lambda: self.node.count_publishers("/dcfnet/detections"), "its publisher")
        count = len(self.diagnostics)
        self.until(lambda: len(self.diagnostics) > count, "its diagnostics")

    def image(self, frame: np.ndarray, index: int, encoding: str = "rgb8") -> Any:
        """Publishes a BGR frame as RGB with padded rows, and returns the result of the node."""
        height, width = frame.shape[:2]
        message = Image(height=height, width=width, encoding=encoding, step=3 * width + 5)
        rows = np.zeros((height, message.step), np.uint8)
        rows[:, : 3 * width] = frame[..., ::-1].reshape(height, -1)
        message.data = array.array("B", rows.tobytes())
        message.header.stamp, message.header.frame_id = stamp(index), "front"
        count = len(self.results)
        self._images.publish(message)
        if encoding == "rgb8":
            self.until(lambda: len(self.results) > count, f"the result of frame {index}")
        return self.results[-1] if self.results else None

    def jpeg(self, frame: np.ndarray, index: int) -> Any:
        """Publishes a BGR frame as JPEG, and returns the result of the node."""
        message = CompressedImage(format="bgr8; jpeg compressed bgr8")
        message.data = array.array("B", cv2.imencode(".jpg", frame)[1].tobytes())
        message.header.stamp, message.header.frame_id = stamp(index), "front"
        count = len(self.results)
        self._compressed.publish(message)
        self.until(lambda: len(self.results) > count, f"the result of frame {index}")
        return self.results[-1]

    def boxes(self, boxes: list[Box], index: int) -> None:
        """Publishes the boxes of a detector in frame `index`."""
        message = Detection2DArray()
        message.header.stamp = stamp(index)
        for box in boxes:
            detection, hypothesis = Detection2D(), ObjectHypothesisWithPose()
            hypothesis.hypothesis.score = 0.9
            detection.results = [hypothesis]
            detection.bbox.center.position.x, detection.bbox.center.position.y = box.centre
            detection.bbox.size_x, detection.bbox.size_y = box.size
            message.detections.append(detection)
        self._boxes.publish(message)

    def diagnostic(self, name: str, value: str) -> Any:
        """Waits for a diagnostic status with this value, and returns it."""

        def found() -> Any:
            for status in self.diagnostics:
                if {entry.key: entry.value for entry in status.values}.get(name) == value:
                    return status
            return None

        return self.until(found, f"{name} = {value} in /diagnostics")

    def trigger(self, service: str) -> Any:
        """Calls a service of std_srvs/Trigger."""
        return self._call(service, Trigger.Request())

    def transition(self, number: int) -> Any:
        """Calls a transition of the lifecycle."""
        request = ChangeState.Request()
        request.transition.id = number
        return self._call("change_state", request)

    def _call(self, service: str, request: Any) -> Any:
        assert self._clients[service].wait_for_service(PATIENCE)
        future = self._clients[service].call_async(request)
        self.until(future.done, service)
        return future.result()


def stamp(index: int) -> Any:
    """The time of frame `index`."""
    from builtin_interfaces.msg import Time

    now = int(time.time()) if index < 0 else 1_700_000_000
    return Time(sec=now + index // 30, nanosec=(index % 30) * 33_333_333)
