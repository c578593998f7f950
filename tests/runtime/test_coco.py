"""dcfnet-run --format coco: one image per frame, one annotation per target and frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.errors import SinkError
from dcfnet.io.sinks.coco import CocoWriter
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Box, Reason, Result, Status
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import rendered, start, write_images

FRAME = SourceFrame(np.zeros((24, 32, 3), np.uint8), 0.0)
HOLE = SourceFrame(None, 0.04, "it cannot be decoded")
BOX = Box(3, 4.5, 10, 8)
NAMES = [f"{index:04d}.png" for index in range(6)]


def found(status: Status, confidence: float | None = None) -> Result:
    return Result(Box(4, 5, 10, 8), 0.9, 20.0, 30.0, status, Reason.FOUND, 0.8, confidence)


def test_the_file_has_an_image_per_frame_and_no_lost_target(tmp_path: Path) -> None:
    with CocoWriter(tmp_path / "new/a.json") as writer:
        writer.add(0, FRAME, [TargetRow(1, BOX), TargetRow(2, BOX)])
        lost = found(Status.LOST)
        writer.add(1, HOLE, [TargetRow(1, lost.box, lost), TargetRow(2, lost.box, lost)])
        both = found(Status.TRACKED, 0.87654), found(Status.UNCERTAIN)
        writer.add(2, FRAME._replace(time=0.08), [TargetRow(n, each.box, each) for n, each in enumerate(both, start=1)])
    data = json.loads((tmp_path / "new/a.json").read_text())
    assert data["images"] == [
        {"id": 1, "file_name": "000000.jpg", "width": 32, "height": 24, "frame_index": 0, "time": 0.0},
        {"id": 2, "file_name": "000001.jpg", "width": 32, "height": 24, "frame_index": 1, "time": 0.04},
        {"id": 3, "file_name": "000002.jpg", "width": 32, "height": 24, "frame_index": 2, "time": 0.08},
    ]
    assert [(a["id"], a["image_id"], a["track_id"], a["score"], a["status"]) for a in data["annotations"]] == [
        *[(1, 1, 1, 1.0, "tracked"), (2, 1, 2, 1.0, "tracked")],
        *[(3, 3, 1, 0.8765, "tracked"), (4, 3, 2, 0.5, "uncertain")],
    ]
    first = data["annotations"][0]
    assert (first["bbox"], first["area"], first["iscrowd"]) == ([3, 4.5, 10, 8], 80, 0)
    assert first["category_id"] in [category["id"] for category in data["categories"]]


@pytest.mark.parametrize("frames", [0, 2])
def test_the_file_of_an_interrupted_run_is_complete(tmp_path: Path, frames: int) -> None:
    with pytest.raises(KeyboardInterrupt), CocoWriter(tmp_path / "a.json") as writer:  # noqa: PT012
        for index in range(frames):
            writer.add(index, FRAME, [TargetRow(1, BOX)])
        raise KeyboardInterrupt
    data = json.loads((tmp_path / "a.json").read_text())
    assert len(data["images"]) == len(data["annotations"]) == frames


def test_a_full_disk_names_the_file() -> None:
    with pytest.raises(SinkError, match="/dev/full: cannot be written"):
        CocoWriter(Path("/dev/full"))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_the_boxes_of_csv(clip: Clip, tmp_path: Path) -> None:
    frames = write_images(tmp_path / "frames", rendered(clip, 6), NAMES[:6])
    for layout, name in (("coco", "a.json"), ("csv", "a.csv")):
        done = run(frames, "--init", start(clip), "--boxes", tmp_path / name, "--format", layout)
        assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "a.json").read_text())
    rows = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert [image["frame_index"] for image in data["images"]] == [int(row[0]) for row in rows]
    expected = [[float(value) for value in row[1:5]] for row in rows]
    np.testing.assert_allclose([annotation["bbox"] for annotation in data["annotations"]], expected, atol=0.011)
    assert {(image["width"], image["height"]) for image in data["images"]} == {(320, 240)}


def test_an_unknown_format_lists_coco(clip: Clip, tmp_path: Path) -> None:
    frames = write_images(tmp_path / "frames", rendered(clip, 2), NAMES[:2])
    done = run(frames, "--init", start(clip), "--boxes", tmp_path / "a.json", "--format", "xml")
    assert done.exit_code == 1
    assert "--format xml: must be one of csv, jsonl, otb, mot, coco" in done.output
