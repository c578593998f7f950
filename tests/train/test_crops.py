"""The cache of crops: its pairs equal those of the whole frames, and its content is checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.errors import ConfigError, SinkError
from dcfnet.io.files import write_atomically
from dcfnet.result import Box
from dcfnet_evaluation.rendered import noise_texture
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_train.crops import cutting
from dcfnet_train.crops.cli import app
from dcfnet_train.crops.cutting import cut, make_cache
from dcfnet_train.footage.crop_manifest import MANIFEST, CropSettings, Manifest, check_clips
from dcfnet_train.footage.overlap import overlapping
from dcfnet_train.footage.videos import open_sequences, read_footage, read_videos
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import Recipe
from typer.testing import CliRunner

from tests.train.footage import make_otb_sequence

LOSSLESS = CropSettings(image="png", longest=4096)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rendered sequences; in the second the target is absent twice."""
    root = tmp_path_factory.mktemp("whole")
    for seed, name in enumerate(("a", "b", "c")):
        make_otb_sequence(root / name, length=12, seed=seed)
    truth = root / "b/groundtruth_rect.txt"
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join([*lines[:4], "0,0,0,0", "0,0,0,0", *lines[6:]]) + "\n")
    return root


def cache(videos: Path, root: Path, settings: CropSettings = LOSSLESS, workers: int = 0) -> Path:
    make_cache(read_videos(videos), [str(videos)], settings, root, workers)
    return root


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def differences(videos: Path, crops: Path, **changes: object) -> list[float]:
    """Mean difference of each pair between whole frames and a cache, grey levels."""
    recipe = Recipe(synthetic=0.0).replace(**changes)
    whole, small = (Pairs(read_videos(place), [], recipe, 24) for place in (videos, crops))
    for i in range(24):
        np.testing.assert_array_equal(whole[i][1], small[i][1])
    return [float((whole[i][0] - small[i][0]).abs().mean()) for i in range(24)]


@pytest.mark.parametrize("changes", [{"augment": False}, {"padding": 1.5, "displacement": 0.5, "max_gap": 3}])
def test_pairs_of_a_lossless_cache_are_those_of_the_frames(
    videos: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert max(differences(videos, cache(videos, tmp_path / "crops"), **changes)) < 0.01


def test_pairs_of_a_cache_differ_by_what_jpeg_loses(videos: Path, tmp_path: Path) -> None:
    losses = []
    for sequence in open_sequences(f"otb:{videos}"):
        image = sequence.read(0)
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        losses.append(np.abs(cv2.imdecode(content, cv2.IMREAD_COLOR).astype(float) - image).mean())
    crops = cache(videos, tmp_path / "crops", CropSettings(longest=4096))
    assert max(differences(videos, crops, augment=False)) < 1.5 * max(losses)


def test_a_resized_crop_shows_the_same_content(rng: np.random.Generator) -> None:
    """The resized whole frame is the reference: crop and box must match a part of it."""
    frame = cv2.GaussianBlur(noise_texture(rng, 480, 640), (0, 0), 4).astype(np.uint8)
    half = cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA)
    for box in (Box(200, 160, 64, 32), Box(600, 440, 64, 32), Box(-20, -10, 30, 64)):
        crop, moved = cut(frame, box, CropSettings(around=4, longest=128))
        assert max(crop.shape) <= 129
        for size, original in zip(moved.size, box.size, strict=True):
            assert size == pytest.approx(original / 2, rel=0.02)
        left, top = ((value / 2 - in_crop) for value, in_crop in zip((box.x, box.y), (moved.x, moved.y), strict=True))
        translation = np.array([[1, 0, left], [0, 1, top]])
        part = cv2.warpAffine(half, translation, crop.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        inner = (slice(2, -2), slice(2, -2))
        assert np.abs(part[inner].astype(float) - crop[inner]).mean() < 2


def test_frames_without_a_target_are_gaps(videos: Path, tmp_path: Path) -> None:
    crops = {video.name: video for video in read_footage(str(cache(videos, tmp_path / "crops")))}
    assert crops["b"].times.tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    assert crops["a"].centred
    assert crops["a"].around == 4
    assert len(crops["a"].usable()) == 12


def test_an_interrupted_cache_is_completed(videos: Path, tmp_path: Path) -> None:
    """Interrupted after the second clip. Complete clips are kept, but a damaged clip is cut again."""
    root = tmp_path / "crops"
    whole = cache(videos, tmp_path / "whole")

    def stop(name: str, _: object) -> None:
        if name == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cache(read_videos(videos), [str(videos)], LOSSLESS, root, done=stop)
    with pytest.raises(SequenceError, match="the cache is incomplete; run dcfnet-crops again to complete it"):
        read_videos(root)
    (root / "c.partial").mkdir()
    (root / "c.partial/000001.png").write_bytes(b"half of one")
    kept, damaged = root / "a/000001.png", root / "b/000002.png"
    before = kept.stat().st_mtime_ns
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    cache(videos, root)
    assert kept.stat().st_mtime_ns == before
    assert Manifest.load(root) == Manifest.load(whole)
    check_clips(root, Manifest.load(root), hashes=True)


def test_a_kill_leaves_only_complete_clips(videos: Path, tmp_path: Path) -> None:
    """The command with its processes is killed after the first clip."""
    root = tmp_path / "crops"
    command = [sys.executable, "-m", "dcfnet_train.crops", f"--videos={videos}", f"--output={root}", "--image=png"]
    killed = subprocess.Popen([*command, "--workers=2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(root.glob("?")) and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for clip in root.glob("?"):
        assert (clip / "clip.json").is_file()
    done = subprocess.run([*command, "--workers=2"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "3 clips, 34 images" in done.stdout
    check_clips(root, Manifest.load(root), hashes=True)


def test_a_full_disk_is_reported_and_leaves_only_complete_clips(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, written = tmp_path / "crops", 0

    def full(content: bytes, file: Path) -> None:
        nonlocal written
        written += file.suffix == ".png"
        if written > 17:  # in the second clip
            raise SinkError(f"{file}: cannot be written (No space left on device)")
        write_atomically(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "write_atomically", full)
        code, text = run("--videos", videos, "--output", root, "--image", "png", "--workers", 0)
    assert code == 1
    assert "No space left on device" in text.replace("\n", " ")
    assert sorted(place.name for place in root.glob("?")) == ["a"]
    code, text = run("--videos", videos, "--output", root, "--image", "png", "--workers", 0)
    assert code == 0, text
    check_clips(root, Manifest.load(root), hashes=True)


def test_other_settings_and_other_footage_are_refused(videos: Path, tmp_path: Path) -> None:
    root = cache(videos, tmp_path / "crops")
    with pytest.raises(ConfigError, match="image is png, not jpg; quality is 90, not 80; choose another --output"):
        cache(videos, root, CropSettings(longest=4096, quality=80))
    with pytest.raises(ConfigError, match=r"videos is .*whole\d*, not other"):
        make_cache(read_videos(videos), ["other"], LOSSLESS, root)
    with pytest.raises(ConfigError, match=r"around=0\.5: must be a number at least 1"):
        CropSettings(around=0.5)
    with pytest.raises(ConfigError, match=r"not empty, but without manifest\.json; choose another --output"):
        cache(videos, videos)


def test_a_damaged_clip_is_reported(videos: Path, tmp_path: Path) -> None:
    root = cache(videos, tmp_path / "crops")
    image = root / "b/000003.png"
    content = image.read_bytes()
    image.write_bytes(content[:-1] + b"x")
    assert len(read_videos(root)) == 3  # the size is equal, only the hash differs
    with pytest.raises(SequenceError, match="b differs from its hash; run dcfnet-crops again to replace the clips"):
        check_clips(root, Manifest.load(root), hashes=True)
    image.unlink()
    with pytest.raises(SequenceError, match=r"b has 9 images of \d+ bytes, expected 10 of"):
        read_videos(root)
    for text, shown in (("{", "cannot be read"), ("[]", "not a JSON object"), ("{}", "use a cache of dcfnet-crops")):
        (root / MANIFEST).write_text(text)
        with pytest.raises(SequenceError, match=shown):
            read_videos(root)


def test_unreadable_frames_are_skipped_and_reported(videos: Path, tmp_path: Path) -> None:
    place = tmp_path / "videos"
    for name in ("d", "e"):
        make_otb_sequence(place / name, length=3)
    (place / "d/img/0002.png").write_bytes(b"no image")
    output = tmp_path / "crops"
    code, text = run("--videos", place, "--output", output, "--workers", 0)
    assert code == 0, text
    assert "d/img/0002.png: not a readable image" in text
    assert "2 clips, 5 images" in text
    assert read_videos(output)[0].times.tolist() == [0, 2]
    for file in (place / "e/img").iterdir():
        file.write_bytes(b"")
    code, text = run("--videos", place, "--output", output, "--workers", 0)
    assert code == 1
    assert "e: none of its frames can be read: " in text
    assert "Traceback" not in text
    code, text = run("--videos", videos, "--videos", videos, "--output", tmp_path / "twice")
    assert (code, "several videos are named a, b, c" in text) == (1, True)


def test_crops_are_not_cut_again(videos: Path, tmp_path: Path) -> None:
    root = cache(videos, tmp_path / "crops")
    code, text = run("--videos", root, "--output", tmp_path / "again")
    assert code == 1
    assert "a, b, c: already crops" in text


def test_footage_of_a_test_set_is_found_in_its_crops(videos: Path, tmp_path: Path) -> None:
    """The cache contains fingerprints of the whole frames, because crops have other fingerprints."""
    copies = tmp_path / "copies"
    for name in ("a", "b"):
        (copies / f"other_{name}").mkdir(parents=True)
        for part in (videos / name).iterdir():
            (copies / f"other_{name}" / part.name).symlink_to(part)
    crops = read_videos(cache(copies, tmp_path / "crops"))
    found = overlapping(crops, open_sequences(f"otb:{videos}"))
    assert found == {"other_a": "shares frames with a", "other_b": "shares frames with b"}
    record = json.loads((tmp_path / "crops" / MANIFEST).read_text())["clips"]["other_a"]
    assert len(record["prints"]) == 12
