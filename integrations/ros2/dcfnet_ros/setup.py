"""The build of the ROS 2 package, as ament_python expects it."""

from glob import glob

from setuptools import setup

NAME = "dcfnet_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.yaml")),
    ],
    install_requires=["setuptools", "dcfnet"],
    zip_safe=True,
    author="dcfnet contributors",
    maintainer="dcfnet contributors",
    maintainer_email="dcfnet@example.org",
    description="A lifecycle node that follows targets in the images of a camera with the tracker dcfnet",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"tracker = {NAME}.node:main"]},
)
