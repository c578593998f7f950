"""The port to C++ gives the arrays of the golden vectors, and the boxes and reasons of the tracker on whole clips."""

from __future__ import annotations

import fcntl
import json
import runpy
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from dcfnet import Box, Result, Tracker
from dcfnet.config import TrackerConfig
from dcfnet.model.file import CONFIG_KEY
from dcfnet_evaluation.rendered import Clip, Image, blob_mask, noise_texture, paste, render_clip

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "runtime/dcfnet/model/shipped"
golden = SimpleNamespace(**runpy.run_path(str(ROOT / "integrations/golden_vectors.py")))


@pytest.fixture(scope="session")
def port(run_folder: Path) -> Path:
    """The program dcfnet_track. With pytest-xdist, one process builds it and the others wait."""
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} to build integrations/cpp")
    folder = run_folder / "cpp"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "dcfnet_track").exists():
            for command in (["-S", ROOT / "integrations/cpp", "-B", folder], ["--build", folder]):
                done = subprocess.run(["cmake", *command], capture_output=True, text=True)
                assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dcfnet_track"


def run(port: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([port, *map(str, words)], capture_output=True, text=True, timeout=120)


def track(port: Path, clip: Clip, folder: Path, preset: str, *words: object) -> str:
    """The lines that the port prints for a clip."""
    golden.write_frames(folder, clip)
    box = (folder / "first_box.txt").read_text().strip()
    done = run(port, SHIPPED / "dcfnet.onnx", preset, folder / "frames.ppm", box, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hiding(length: int) -> Clip:
    """The target passes behind a wall, which hides it completely, and comes out on the other side."""
    rng = np.random.default_rng(3)
    scene, wall = noise_texture(rng, 120, 240), noise_texture(rng, 120, 50, contrast=25)
    texture, mask = noise_texture(rng, 30, 26, contrast=90), blob_mask(rng, 30, 26, waviness=0.0)

    def box(t: int) -> Box:
        return Box.of((50 + min(3 * t, 110), 60), (26, 30))

    def frame(t: int) -> Image:
        image = scene.copy()
        paste(image, texture, mask, box(t))
        image[:, 80:130] = wall
        return image

    return Clip(length, frame, box)


def dimmed(clip: Clip, start: int, share: float) -> Clip:
    """The clip with darker pixels from frame `start` on."""
    return Clip(clip.length, lambda t: (clip.frame(t) * (1 if t < start else share)).astype(np.uint8), clip.box)


def leaving(length: int) -> Clip:
    """The target leaves the frame, which then gets one flat colour."""
    moving = hiding(length)

    def frame(t: int) -> Image:
        shown = np.roll(moving.frame(0), -4 * t, axis=1)  # the scene moves to the left, with the target
        return np.full_like(shown, 90) if t >= length - 3 else shown

    return Clip(length, frame, moving.box)


def resized(clip: Clip, start: int) -> Clip:
    """The clip with frames of another size from frame `start` on."""

    def frame(t: int) -> Image:
        return clip.frame(t) if t < start else cv2.resize(clip.frame(t), None, fx=0.75, fy=0.75)

    return Clip(clip.length, frame, clip.box)


CLIPS = {
    "a post hides a part of the target": ("balanced", render_clip(24, 200, 150), "found"),
    "redetection": ("fast", hiding(64), "redetected"),
    "another light": ("accurate", dimmed(render_clip(16, 200, 150, occluder=False), 8, 0.3), "found"),
    "another frame size": ("balanced", resized(render_clip(10, 200, 150, occluder=False), 5), "resolution_changed"),
    "out of view, no texture": ("balanced", leaving(24), "no_texture"),
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_boxes_are_those_of_the_tracker(port: Path, tmp_path: Path, name: str) -> None:
    preset, clip, needed = CLIPS[name]
    tracker = Tracker("dcfnet", preset=preset)
    tracker.init(clip.frame(0), clip.box(0))
    results: list[Result] = [tracker.update(clip.frame(t)) for t in range(1, clip.length)]
    assert needed in {str(result.reason) for result in results}, "the clip does not show what it is for"
    lines = golden.read_track(track(port, clip, tmp_path, preset))[1:]
    assert len(lines) == len(results)
    for index, (result, (box, status, reason)) in enumerate(zip(results, lines, strict=True), start=1):
        assert box == pytest.approx(result.box, abs=golden.BOX_TOLERANCE), f"frame {index}"
        assert (status, reason) == (str(result.status), str(result.reason)), f"frame {index}"


def test_the_arrays_are_those_of_the_golden_vectors(port: Path, tmp_path: Path) -> None:
    clip = render_clip(4, 200, 150, occluder=False)
    expected, found = tmp_path / "golden", tmp_path / "port"
    golden.write(expected, clip)
    found.mkdir()
    printed = track(port, clip, found, golden.PRESET, found)
    assert golden.too_large(golden.compare(expected, found)) == []
    written = golden.read_track((expected / "track.csv").read_text())
    for (box, *words), (own, *own_words) in zip(written, golden.read_track(printed), strict=True):
        assert own == pytest.approx(box, abs=golden.BOX_TOLERANCE)
        assert words == own_words

    features = np.load(found / "002_features.npy")
    features[0, 3, 5, 5] += 1e-4 * np.abs(features).max()
    np.save(found / "002_features.npy", features)
    assert golden.too_large(golden.compare(expected, found)) == ["features"]


def test_the_port_reads_a_model_that_is_exported_today(port: Path, tmp_path: Path) -> None:
    """An exported file has every constant of today's config; the shipped file has those of its own time."""
    model, clip = onnx.load(SHIPPED / "dcfnet.onnx"), render_clip(3)
    (entry,) = (entry for entry in model.metadata_props if entry.key == CONFIG_KEY)
    constants = json.loads(entry.value)
    entry.value = json.dumps(TrackerConfig.from_mapping(constants).to_mapping())
    assert "lost_confidence" in json.loads(entry.value)
    onnx.save(model, tmp_path / "today.onnx")
    expected = track(port, clip, tmp_path, "balanced")
    box = (tmp_path / "first_box.txt").read_text().strip()
    done = run(port, tmp_path / "today.onnx", "balanced", tmp_path / "frames.ppm", box)
    assert done.stdout == expected, done.stderr
    entry.value = json.dumps(TrackerConfig.from_mapping({**constants, "camera_motion": True}).to_mapping())
    onnx.save(model, tmp_path / "today.onnx")
    done = run(port, tmp_path / "today.onnx", "balanced", tmp_path / "frames.ppm", box)
    assert "this port does not support camera_motion" in done.stderr


def test_errors_of_the_port_are_one_line(port: Path, tmp_path: Path) -> None:
    content = (SHIPPED / "dcfnet.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[:5000])
    (tmp_path / "huge.onnx").write_bytes(content.replace(b'"padding": 2.0', b'"padding": 9e9'))
    (tmp_path / "weights.onnx").write_bytes(content.replace(b"norm.band", b"norm.bend"))
    (tmp_path / "flat.ppm").write_bytes(b"P6 80 60 255\n" + bytes(80 * 60 * 3))
    (tmp_path / "cut.ppm").write_bytes(b"P6 80 61 255\n" + bytes(80 * 60 * 3))
    (tmp_path / "wrong.ppm").write_bytes(b"P3 80 60 255\n" + bytes(80 * 60 * 3))
    (tmp_path / "empty.ppm").write_bytes(b"")
    model, flat = SHIPPED / "dcfnet.onnx", tmp_path / "flat.ppm"
    for words, text in (
        ((SHIPPED / "deep.onnx", "balanced", flat, "9,9,20,20"), "use the model dcfnet"),
        ((tmp_path / "cut.onnx", "balanced", flat, "9,9,20,20"), "cut.onnx: the file is cut"),
        ((tmp_path / "huge.onnx", "balanced", flat, "9,9,20,20"), "padding is out of range"),
        ((tmp_path / "weights.onnx", "balanced", flat, "9,9,20,20"), "use the model dcfnet"),
        ((tmp_path / "none.onnx", "balanced", flat, "9,9,20,20"), "cannot be read"),
        ((model, "slow", flat, "9,9,20,20"), "no preset slow"),
        ((model, "balanced", flat, "9,9,20,20"), "one flat colour"),
        ((model, "balanced", flat, "9,9,2,20"), "at least 3 px"),
        ((model, "balanced", flat, "90,9,20,20"), "less than one pixel"),
        ((model, "balanced", flat, "9,9"), "four numbers"),
        ((model, "balanced", tmp_path / "cut.ppm", "9,9,20,20"), "the last frame is cut"),
        ((model, "balanced", tmp_path / "wrong.ppm", "9,9,20,20"), "not a PPM image"),
        ((model, "balanced", tmp_path / "empty.ppm", "9,9,20,20"), "has no frames"),
        ((model, "balanced", tmp_path / "none.ppm", "9,9,20,20"), "cannot be read"),
    ):
        done = run(port, *words)
        assert (done.returncode, done.stdout.count("\n")) in ((1, 0), (1, 1)), words
        assert text in done.stderr, words
        assert done.stderr.count("\n") == 1
