"""The lifecycle node: topics, services, diagnostics. The only module that imports ROS."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from dcfnet import MultiTracker
from dcfnet.cli.targets.births import BirthRule
from dcfnet.errors import DcfnetError
from dcfnet.io.bags.images import decode_message
from dcfnet.io.decoding.levels import Levels
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from dcfnet_ros.diagnostics import Report, Timing, report
from dcfnet_ros.engine import build_engine
from dcfnet_ros.following import Follower
from dcfnet_ros.messages import NANOSECONDS, Types, detection_array, detections_of, nanoseconds
from dcfnet_ros.parameters import PARAMETERS, Parameter, Settings

TYPES = Types(Detection2DArray, Detection2D, ObjectHypothesisWithPose)
# As sensors publish: a lost image is not sent again. Depth 1: the node always gets the newest image.
NEWEST = QoSProfile(depth=1, history=QoSHistoryPolicy.KEEP_LAST, reliability=QoSReliabilityPolicy.BEST_EFFORT)
DIAGNOSTICS_PERIOD = 1.0  # s


class TrackerNode(LifecycleNode):
    """Follows targets in the images of one camera. Topics, services and parameters: see docs/ros2.md."""

    def __init__(self, **options: Any) -> None:
        """options: of the node, for example parameter_overrides."""
        super().__init__("dcfnet", **options)
        for parameter in PARAMETERS:
            self.declare_parameter(parameter.name, parameter.default, descriptor(parameter))
        self._follower: Follower | None = None
        self._subscribed: list[Any] = []
        self._timing, self._reported = Timing(), time.monotonic()
        self._arrival: float | None = None  # of the newest image, monotonic
        self._problem = ""

    def settings(self) -> Settings:
        """The present values of the parameters. Raises ValueError."""
        return Settings.of({parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS})

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model, warms it up, and makes publishers and services."""
        try:
            self._settings = settings = self.settings()
            self._levels = Levels(settings.levels)
            self._follower = open_follower(settings)
        except (DcfnetError, ValueError) as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._detections = self.create_lifecycle_publisher(Detection2DArray, "~/detections", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = self.create_timer(DIAGNOSTICS_PERIOD, self._publish_diagnostics)
        self._triggers = [  # `_services` is a name of rclpy
            self.create_service(Trigger, "~/reset", self._reset),
            self.create_service(Trigger, "~/save_state", self._save_state),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes to the images and to the boxes."""
        compressed = self._settings.image_transport == "compressed"
        # A remapping of `image` is that of the compressed images too, as in image_transport.
        base = self.resolve_topic_name("image")
        image, topic = (CompressedImage, f"{base}/compressed") if compressed else (Image, base)
        self._subscribed = [
            self.create_subscription(image, topic, self._on_image, NEWEST),
            self.create_subscription(Detection2DArray, "~/boxes", self._on_boxes, 10),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends the subscriptions. The targets stay."""
        for subscription in self._subscribed:
            self.destroy_subscription(subscription)
        self._subscribed, self._arrival = [], None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forgets the targets and the model."""
        if self._follower is not None:
            self._follower.reset()
            self._follower = None
            self.destroy_timer(self._timer)
            self.destroy_publisher(self._detections)
            self.destroy_publisher(self._diagnostics)
            for service in self._triggers:
                self.destroy_service(service)
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As `on_deactivate` and `on_cleanup`."""
        for subscription in self._subscribed:
            self.destroy_subscription(subscription)
        self._subscribed = []
        return self.on_cleanup(state)

    def _on_image(self, message: Any) -> None:
        assert self._follower is not None
        started = self._arrival = time.monotonic()
        try:
            frame = decode_message(message, "image", self._levels)
            self._problem = ""
        except DcfnetError as error:
            self._tell(str(error))
            return
        rows = self._guarded(lambda follower: follower.image(frame, nanoseconds(message.header.stamp))) or []
        self._detections.publish(detection_array(TYPES, message.header, rows))
        age = (self.get_clock().now().nanoseconds - nanoseconds(message.header.stamp)) / NANOSECONDS
        self._timing.add(age, time.monotonic() - started)

    def _on_boxes(self, message: Any) -> None:
        found, stamp = detections_of(message, self._settings.min_score), nanoseconds(message.header.stamp)
        self._guarded(lambda follower: follower.boxes(found, stamp))

    def _guarded(self, work: Any) -> Any:
        """Does the work. An error of the tracker is told, and does not end the node."""
        try:
            return work(self._follower)
        except DcfnetError as error:
            self._tell(str(error))
            return None

    def _tell(self, problem: str) -> None:
        self._problem = problem
        self.get_logger().error(problem, throttle_duration_sec=5.0)

    def _reset(self, request: Any, response: Any) -> Any:
        assert self._follower is not None
        response.success, response.message = True, f"{self._follower.reset()} targets forgotten"
        return response

    def _save_state(self, request: Any, response: Any) -> Any:
        assert self._follower is not None
        file = self._settings.state_file
        if not file:
            response.success, response.message = False, "the parameter state_file is empty; set it to a file"
            return response
        try:
            self._follower.save(file)
            response.success, response.message = True, f"{file}: written"
        except DcfnetError as error:
            response.success, response.message = False, str(error)
        return response

    def _publish_diagnostics(self) -> None:
        if self._follower is None or not self._subscribed:
            return
        now = time.monotonic()
        silence = None if self._arrival is None else now - self._arrival
        limits = self._settings.max_age, self._settings.stale_after
        counts, statuses = self._follower.counts, self._follower.statuses()
        shown = report(self._timing, now - self._reported, silence, counts, statuses, self._problem, *limits)
        self._timing, self._reported = Timing(), now
        self._diagnostics.publish(self._diagnostic_array(shown))

    def _diagnostic_array(self, shown: Report) -> Any:
        status = DiagnosticStatus(name=f"{self.get_name()}: tracking", hardware_id=self._settings.model)
        status.level, status.message = bytes([shown.level]), shown.message
        status.values = [KeyValue(key=key, value=value) for key, value in shown.values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        return array


def descriptor(parameter: Parameter) -> Any:
    """The descriptor that shows range and choices in `ros2 param describe`; ROS refuses values outside the range."""
    shown = ParameterDescriptor(description=parameter.description, read_only=False)
    if parameter.choices:
        shown.additional_constraints = f"One of {', '.join(parameter.choices)}."
    if parameter.range:
        low, high = parameter.range
        if isinstance(parameter.default, float):
            shown.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            shown.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return shown


def open_follower(settings: Settings) -> Follower:
    """The follower with an opened and warmed-up tracker. Raises DcfnetError."""
    model, threads = settings.model, settings.threads or None
    tracker = MultiTracker(model, settings.device, preset=settings.preset, threads=threads)
    if settings.restore_state and os.path.exists(settings.state_file):
        tracker.restore(Path(settings.state_file))
    tracker.warm_up()
    births = BirthRule(settings.births, settings.birth_score)
    return Follower(tracker, births, settings.deaths, settings.max_targets, settings.kept_frames)


def main(arguments: list[str] | None = None) -> int:
    """Runs the node until it is stopped. Returns the exit code."""
    rclpy.init(args=arguments)
    node = TrackerNode()
    try:
        settings = node.settings()
        if settings.build_engine_only:
            print(build_engine(settings.model))
            return 0
        if settings.autostart:
            for start in (node.trigger_configure, node.trigger_activate):
                if start() is not TransitionCallbackReturn.SUCCESS:
                    return 1
        rclpy.spin(node)
    except (DcfnetError, ValueError) as error:
        print(f"dcfnet_ros: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
