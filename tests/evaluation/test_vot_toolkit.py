"""The TraX program in the VOT toolkit, which runs from .venv-vot (see evaluation/vot-requirements.txt)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip, blob_mask, noise_texture, paste
from dcfnet_evaluation.vot import main
from dcfnet_evaluation.vot.session import read_region

TOOLKIT = Path(__file__).parents[2] / ".venv-vot" / "bin"
LENGTH, LEAP, SKIPPED = 32, 12, 5
STACK = f"""title: rendered clips, evaluated as VOT2015
experiments:
  baseline:
    type: supervised
    repetitions: 1
    skip_initialize: {SKIPPED}
    analyses:
      - type: supervised_average_ar
        sensitivity: 30
      - type: supervised_eao_score
        low: 10
        high: 30
"""
CLIENT = """
import json, shlex, subprocess, sys
from trax.client import Client
from trax.image import BufferImage, FileImage, MemoryImage
from trax.region import Polygon, Rectangle
import cv2

command, file, box = json.load(sys.stdin)
pixels = cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB)
images = [FileImage.create(file), MemoryImage.create(pixels), BufferImage.create(open(file, "rb").read())]
process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
client = Client(stream=(process.stdin.fileno(), process.stdout.fileno()), log=lambda text: None)
found = []
for image in images:
    client.initialize({"color": images[0]}, [(Rectangle.create(*box), {})], {})
    (region, properties), = client.frame({"color": image}, {}, [])[0]
    found.append([region.bounds(), properties])
client.quit()
print(json.dumps([client.tracker_name, client.image_formats, client.region_formats, found, process.wait(20)]))
"""
OVERLAP = """
import json, sys
from vot.region import Polygon, Rectangle, calculate_overlap
pairs = json.load(sys.stdin)
print(json.dumps([calculate_overlap(Rectangle(*box), Polygon(corners), (200, 200)) for box, corners in pairs]))
"""

pytestmark = pytest.mark.skipif(
    not (TOOLKIT / "vot").exists(), reason="needs the VOT toolkit in .venv-vot, see evaluation/vot-requirements.txt"
)


def call(program: str, *arguments: object, message: object = None, folder: Path) -> str:
    """The output of a program of the toolkit. It has no network access, and its temporary files stay in `folder`."""
    isolation = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "TMPDIR": str(folder)}
    command = [str(TOOLKIT / program), *map(str, arguments)]
    environment = {**os.environ, **isolation, "VOT_RESULTS_BINARY": "0"}
    text = None if message is None else json.dumps(message)
    process = subprocess.run(command, env=environment, input=text, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + (process.stderr if program == "vot" else "")


def write_sequence(folder: Path, box: Callable[[int], Box], polygons: bool) -> None:
    """Writes a textured target over a static scene in the VOT layout: JPEG frames from 1, one region per line."""
    (folder / "color").mkdir(parents=True)
    rng = np.random.default_rng(3)
    scene, texture = noise_texture(rng, 160, 420), noise_texture(rng, 48, 40, contrast=90)
    rows = []
    for t in range(LENGTH):
        frame, at = scene.copy(), box(t)
        paste(frame, texture, blob_mask(np.random.default_rng(4), 48, 40, waviness=0.0), at)
        cv2.imwrite(str(folder / "color" / f"{t + 1:08d}.jpg"), frame)
        rows.append(",".join(map(str, corners(at) if polygons else at)))
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    (folder / "sequence").write_text("channels.color=color/%08d.jpg\nfps=30\nformat=default\n")


def corners(box: Box) -> list[float]:
    """The corner pixels of the box."""
    right, bottom = box.x + box.w - 1, box.y + box.h - 1
    return [box.x, box.y, right, box.y, right, bottom, box.x, bottom]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated workspace with two clips. In one the target jumps too far for the tracker."""
    folder = tmp_path_factory.mktemp("workspace")
    sequences = folder / "sequences"
    write_sequence(sequences / "calm", lambda t: Box(40 + 3 * t, 40 + t, 40, 48), polygons=False)
    write_sequence(
        sequences / "leap", lambda t: Box(40 + t if t < LEAP else 360 - 2 * t, 40 + t, 40, 48), polygons=True
    )
    (sequences / "list.txt").write_text("calm\nleap\n")
    (folder / "stack.yaml").write_text(STACK)
    (folder / "config.yaml").write_text("registry: [./trackers.ini]\nstack: stack.yaml\n")
    assert main(["--register", str(folder)]) == 0
    call("vot", "evaluate", "--workspace", folder, "dcfnet", folder=folder)
    call("vot", "analysis", "--workspace", folder, "--name", "scores", "dcfnet", folder=folder)
    return folder


def results(workspace: Path, sequence: str) -> list[str]:
    return (workspace / "results/dcfnet/baseline" / sequence / f"{sequence}_001.txt").read_text().split()


def test_vot_test_succeeds(workspace: Path) -> None:
    output = call("vot", "--registry", workspace / "trackers.ini", "test", "dcfnet", folder=workspace)
    assert "Test concluded successfuly" in output


def test_the_toolkit_restarts_the_tracker_after_a_failure(workspace: Path) -> None:
    """In the results of the toolkit 1 is a start, 2 a failure, 0 a skipped frame; all other lines are regions."""
    calm, leap = results(workspace, "calm"), results(workspace, "leap")
    assert [t for t, line in enumerate(calm) if "," not in line] == [0]
    assert leap[LEAP : LEAP + SKIPPED + 1] == ["2", "0", "0", "0", "0", "1"]
    assert [t for t, line in enumerate(leap) if "," not in line] == [0, *range(LEAP, LEAP + SKIPPED + 1)]
    assert len(calm) == len(leap) == LENGTH


def test_accuracy_and_robustness_on_easy_clips(workspace: Path) -> None:
    scores = json.loads((workspace / "analysis/scores.json").read_text())
    ((accuracy, failures, _, _),), ((overlap,),) = scores["results"]["baseline"]["results"]
    assert accuracy > 0.8
    assert failures == 0.5  # one of two clips, once
    assert 0.5 < overlap < accuracy


def test_the_reference_client_works_with_every_kind_of_image(workspace: Path, clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / 'frame "1".png'
    file.write_bytes(cv2.imencode(".png", clip.frame(0))[1].tobytes())
    command = (workspace / "trackers.ini").read_text().split("command = ")[1].strip()
    box = [round(value) for value in clip.box(0)]
    output = call("python", "-c", CLIENT, message=[command, str(file), box], folder=tmp_path)
    name, images, regions, found, code = json.loads(output.splitlines()[-1])
    assert (name, images, regions, code) == ("dcfnet", ["path", "memory", "buffer"], ["rectangle", "polygon"], 0)
    assert found[0] == found[1] == found[2]
    assert Box(*found[0][0]).iou(Box(*box)) > 0.9
    assert float(found[0][1]["confidence"]) > 7


def test_the_box_around_a_polygon_matches_the_toolkit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for left, top, width, height in rng.integers(3, 90, size=(20, 4)).tolist():
        flat = corners(Box(left, top, width, height))
        pairs.append((list(read_region(",".join(map(str, flat)))), np.reshape(flat, (4, 2)).tolist()))
    assert json.loads(call("python", "-c", OVERLAP, message=pairs, folder=tmp_path)) == [1.0] * 20
