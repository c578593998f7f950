"""Starts the node: ros2 launch dcfnet_ros tracker.launch.py image:=/camera/image_raw."""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode


def generate_launch_description() -> LaunchDescription:
    """The node with its parameters. autostart:=false leaves the transitions to a lifecycle manager."""
    share = get_package_share_directory("dcfnet_ros")
    arguments = {
        "image": ("/camera/image_raw", "Topic of the images."),
        "params_file": (f"{share}/config/tracker.yaml", "Parameters of the node."),
        "autostart": ("true", "Configure and activate the node at the start."),
    }
    node = LifecycleNode(
        package="dcfnet_ros",
        executable="tracker",
        name="dcfnet",
        namespace="",
        output="screen",
        parameters=[LaunchConfiguration("params_file"), {"autostart": LaunchConfiguration("autostart")}],
        remappings=[("image", LaunchConfiguration("image"))],
    )
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in arguments.items()
    ]
    return LaunchDescription([*declared, node])
