"""The release: what is in the wheel and in the sdist, the metadata, and the files that repeat pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import dcfnet
import pytest
import tomllib
from dcfnet.model.file import SHIPPED

ROOT = Path(__file__).parents[1]
PACKAGES = ("dcfnet", "dcfnet_commands", "dcfnet_calibration", "dcfnet_evaluation", "dcfnet_export", "dcfnet_train")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and a sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    code = f"from hatchling.build import *; build_wheel({str(folder)!r}); build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def wheel_files(built: tuple[Path, Path]) -> set[str]:
    return set(zipfile.ZipFile(built[0]).namelist())


@pytest.fixture(scope="module")
def metadata(built: tuple[Path, Path]) -> Message:
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        return Parser().parsestr(wheel.read(name).decode())


def in_git(*folders: str) -> set[str]:
    """The files of the tree in these folders, without those that git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_has_all_files_of_the_packages_and_nothing_else(wheel_files: set[str]) -> None:
    """Pages, templates, kernels, recipes and models are easily forgotten: without them an installed command fails."""
    rooms = {package: package.removeprefix("dcfnet_") for package in PACKAGES}
    rooms |= {"dcfnet": "runtime", "dcfnet_commands": "runtime"}
    tree = {name.split("/", 1)[1] for package, room in rooms.items() for name in in_git(f"{room}/{package}")}
    assert {name for name in wheel_files if ".dist-info/" not in name} == tree


def test_the_wheel_has_models_types_and_licence(wheel_files: set[str]) -> None:
    assert {f"dcfnet/model/shipped/{file}" for file in SHIPPED.values()} <= wheel_files
    assert {f"{package}/py.typed" for package in PACKAGES} <= wheel_files
    assert "dcfnet/cli/failures/page.html" in wheel_files
    assert f"dcfnet-{dcfnet.__version__}.dist-info/licenses/LICENSE" in wheel_files


def test_the_sdist_builds_the_same_wheel_and_has_no_tests(built: tuple[Path, Path], wheel_files: set[str]) -> None:
    with tarfile.open(built[1]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    packages = {name.split("/", 1)[1] for name in names if name.split("/")[-1:] and "/dcfnet" in f"/{name}"}
    assert {name for name in wheel_files if ".dist-info/" not in name} <= packages
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", ".")) and name != ".gitignore"]


def test_the_metadata_is_complete(metadata: Message) -> None:
    assert metadata["Version"] == dcfnet.__version__
    assert metadata["Author"] == "dcfnet contributors"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# dcfnet")
    classifiers = metadata.get_all("Classifier") or []
    assert [each for each in classifiers if each.startswith("Development Status ::")]
    least = metadata["Requires-Python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {least}" in classifiers
    assert metadata.get_all("Project-URL") is None  # until there are any


def test_the_headless_requirements_are_those_of_the_runtime() -> None:
    """requirements-headless.txt repeats the runtime's dependencies with the other wheel of OpenCV."""
    wanted = {name.replace("opencv-python", "opencv-python-headless") for name in PROJECT["dependencies"]}
    wanted |= set(PROJECT["optional-dependencies"]["cpu"])
    lines = (ROOT / "requirements-headless.txt").read_text("utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == wanted


def test_each_dependency_has_a_licence_on_the_page() -> None:
    page = (ROOT / "docs/licences.md").read_text("utf-8")
    skipped = {"cuda12", "cuda13", "trt", "rtx", "energy", "release"}  # see release/licences.py
    extras = [needed for name, needed in PROJECT["optional-dependencies"].items() if name not in skipped]
    names = {
        re.split(r"[\[<>=; ]", text)[0].lower().replace("_", "-")
        for needed in [PROJECT["dependencies"], *extras]
        for text in needed
    }
    missing = sorted(name for name in names - {"dcfnet", "tomli"} if f"| {name} |" not in page)
    assert not missing, f"docs/licences.md lacks {missing}; run ./justw licences and commit the page"


def test_the_dockerfile_copies_what_the_build_reads() -> None:
    """Each file that it copies exists and is not ignored; all packages are among them."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert {"runtime", "evaluation", "train", "export", "calibration"} <= set(copied)
