"""The rules of docs/architecture.md, each of them a test."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "dcfnet": "runtime",
    "dcfnet_commands": "runtime",
    "dcfnet_evaluation": "evaluation",
    "dcfnet_train": "train",
    "dcfnet_export": "export",
    "dcfnet_calibration": "calibration",
    "dcfnet_ros": "integrations/ros2/dcfnet_ros",
    "dcfnet_triton": "integrations/triton",
}
MAY_IMPORT = {
    "dcfnet": set(),
    "dcfnet_commands": set(),
    "dcfnet_evaluation": {"dcfnet", "dcfnet_commands"},
    "dcfnet_train": {"dcfnet", "dcfnet_commands", "dcfnet_evaluation"},
    "dcfnet_export": {"dcfnet", "dcfnet_commands", "dcfnet_evaluation", "dcfnet_train"},
    "dcfnet_calibration": {"dcfnet", "dcfnet_commands", "dcfnet_evaluation", "dcfnet_export"},
    "dcfnet_ros": {"dcfnet"},
    "dcfnet_triton": {"dcfnet"},
}
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "cupy",
    "tensorrt",
    "tensorrt_rtx",
    "cryptography",
    "typer",
    "av",
    "safetensors",
    "scipy",
    "foxglove",
    "prometheus_client",
    "rosbags",
    "starlette",
    "uvicorn",
)


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / ROOMS[package] / package).rglob("*.py"))
    assert files, f"{package} has no files"
    return files


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", ROOMS)
def test_arrows_point_at_the_runtime(package: str) -> None:
    ours = {name for file in sources(package) for name in imports(file) if name in ROOMS}
    assert ours - {package} <= MAY_IMPORT[package]


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    code = f"import sys, dcfnet; print([n for n in {HEAVY!r} if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "file"),
    [
        ("onnxruntime", "backbones/ort.py"),
        ("cupy", "devices/cuda/device.py"),
        ("cryptography", "engines/signing.py"),
        ("av", "io/decoding/pyav_decoder.py"),
        ("safetensors", "lifecycle/state_file.py"),
        ("rosbags", "io/bags/library.py"),
        ("prometheus_client", "cli/telemetry/metrics.py"),
        ("foxglove", "cli/telemetry/recording.py"),
        ("starlette", "cli/web/application.py"),
        ("uvicorn", "cli/web/server.py"),
    ],
)
def test_a_heavy_library_has_one_importer(library: str, file: str) -> None:
    importers = [str(f.relative_to(ROOT / "runtime/dcfnet")) for f in sources("dcfnet") if library in imports(f)]
    assert importers == [file]


def test_each_part_of_scipy_has_one_importer() -> None:
    """scipy.optimize and scipy.fft are separate libraries for this purpose: each is loaded by those who use it."""
    importers = {f.relative_to(ROOT / "runtime/dcfnet").as_posix() for f in sources("dcfnet") if "scipy" in imports(f)}
    assert importers == {"tracking/correction/assignment.py", "devices/host_fft.py"}


def test_only_the_command_and_its_arguments_import_typer() -> None:
    importers = {f.relative_to(ROOT / "runtime/dcfnet").as_posix() for f in sources("dcfnet") if "typer" in imports(f)}
    assert importers == {"cli/run.py", "cli/arguments.py"}


@pytest.mark.parametrize(
    ("calls", "file"),
    [
        (("cv2.imread", "cv2.imdecode"), "dcfnet/io/decoding/images.py"),
        (("cv2.VideoCapture",), "dcfnet/io/decoding/opencv_decoder.py"),
    ],
)
def test_one_module_decodes_images_and_one_opens_videos(calls: tuple[str, ...], file: str) -> None:
    """So all packages see the same pixels."""
    found = {
        source.relative_to(ROOT / ROOMS[package]).as_posix()
        for package in ROOMS
        for source in sources(package)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(calls)
    }
    assert found == {file}


def test_the_start_of_the_commands_imports_the_standard_library_alone() -> None:
    """So that a command can answer Ctrl-C while everything else is imported."""
    used = {name for file in sources("dcfnet_commands") for name in imports(file)}
    assert used <= sys.stdlib_module_names


def test_the_runtime_imports_no_training_library() -> None:
    assert not {name for file in sources("dcfnet") for name in imports(file)} & {"torch", "onnx"}


def test_tensorrt_is_imported_by_name_in_one_place() -> None:
    """Which of its two forms there is is found out while it runs, so no import statement names it."""
    named = {file for file in sources("dcfnet") if "import_module(" in file.read_text()}
    assert named == {ROOT / "runtime/dcfnet/engines/flavour.py"}
    assert not {name for file in sources("dcfnet") for name in imports(file)} & {"tensorrt", "tensorrt_rtx"}


def test_the_formula_imports_no_array_library() -> None:
    assert set(imports(ROOT / "runtime/dcfnet/filter/dcf.py")) <= {"__future__", "typing"}


@pytest.mark.parametrize("package", ROOMS)
def test_files_and_functions_stay_small(package: str) -> None:
    for file in sources(package):
        text = file.read_text()
        assert len(text.splitlines()) <= 250, f"{file} is too long to open gladly"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 48, f"{file}: {node.name} has {length} lines"


def test_folders_stay_small() -> None:
    """A folder is a room: its modules can be read in one go."""
    folders = Counter(file.parent for package in ROOMS for file in sources(package) if file.name != "__init__.py")
    assert not {folder: count for folder, count in folders.items() if count > 15}


def test_the_names_in_the_architecture_exist() -> None:
    """Paths, files and names of the code in docs/architecture.md."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [f"/{name}" for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    code = "\n".join(
        (ROOT / path[1:]).read_text("utf-8") for path in paths if path.endswith((".py", ".cu", ".toml", ".cpp"))
    )
    words = set(re.findall(r"\w+", code))
    missing = []
    for name in re.findall(r"`([\w./-]+)`", (ROOT / "docs/architecture.md").read_text("utf-8")):
        if re.search(r"/$|\.(py|cu|md|toml|yml|sh|pbtxt|safetensors|onnx|html|json)$", name):
            known = any(path.endswith(f"/{name}") or f"/{name.rstrip('/')}/" in path for path in paths)
        elif re.fullmatch(r"[A-Za-z_][\w.]*", name):
            known = name.rsplit(".", 1)[-1] in words
        else:
            continue
        if not known:
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("package", ROOMS)
def test_modules_are_nouns_of_the_field(package: str) -> None:
    assert not {file.stem for file in sources(package)} & {"utils", "util", "helpers", "base", "common", "misc"}


def test_the_readme_program_is_the_docstrings_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a newcomer copies is one text, the package's docstring, shown again in the README."""
    import dcfnet
    from dcfnet.io.sinks.video import VideoSink
    from dcfnet_evaluation.rendered import render_clip

    program = textwrap.dedent((dcfnet.__doc__ or "").split("to the end:\n\n", 1)[1]).strip()
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
    assert f"```python\n{program}\n```" in (ROOT / "README.md").read_text()

    monkeypatch.chdir(tmp_path)
    with VideoSink(tmp_path / "drive.mp4", 30, (640, 360)) as video:
        for frame, _ in render_clip(5):
            video.write(frame)
    exec(program, {})
    assert capsys.readouterr().out.count("Box(x=") == 4


def test_nothing_names_a_path_of_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    marks = ["/" + "home/", "/" + "root/", "/" + "work/"]
    for name in filter(None, listed.stdout.split("\0")):
        content = (ROOT / name).read_bytes()
        assert not [mark for mark in marks if mark.encode() in content], name
