"""Golden vectors: what the tracker computes in each frame, for ports to other languages (docs/formats.md).

    python integrations/golden_vectors.py write FOLDER [--frames 6]    # from a rendered clip
    python integrations/golden_vectors.py compare FOLDER OTHER         # OTHER: the same files, written by a port

`compare` prints the largest difference of each kind of array, and ends with exit code 1 if one is too large.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.result import Box, Result
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import search_places
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init_target, step
from dcfnet_evaluation.rendered import Clip, render_clip
from numpy.typing import NDArray

MODEL, PRESET = "dcfnet", "balanced"
# The largest differences. Those of arrays are relative to the largest number in the golden array.
TOLERANCES = {
    "patches": 0.0,  # whole numbers
    "features": 1e-5,
    "spectra": 1e-6,
    "responses": 1e-5,
    "position_maps": 1e-5,
    "peak": 1e-4,
    "filter": 1e-4,
}
BOX_TOLERANCE = 0.01  # px
Arrays = dict[str, NDArray[np.float32]]


def first_search(pipeline: Pipeline, state: TrackState, frame: NDArray[np.uint8]) -> Arrays:
    """The arrays of the first search pass in a frame, by the names of TOLERANCES; complex numbers as (real, imaginary).

    patches (S, 3, P, P), features (S, C, H, H), spectra (S, C, K, B+1, 2), responses and position_maps (S, R, R), and
    peak: shift x, shift y, value, PSR, APCE, likeness, index of the scale.
    """
    frames, filters = [pipeline.backend.frame(frame)], state.filters.arrays
    places = search_places(pipeline, state, frames, pipeline.search_regions(state.size))
    patches = pipeline.backend.sample_patches(places, pipeline.config.patch_size, pipeline.mean)
    features = pipeline.backbone(patches)
    maps = pipeline.responses(places, filters)
    winner, peak = pipeline.read_peaks(*maps)
    numbers = [*peak.shift[0], peak.value[0], peak.psr[0], peak.apce[0], peak.likeness[0], winner[0]]
    return {
        "patches": patches,
        "features": features,
        "spectra": pairs(pipeline.transform.forward(features)),
        "responses": maps[0][0],
        "position_maps": maps[1][0],
        "peak": np.array(numbers, np.float32),
    }


def pairs(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Complex numbers as a last axis (real, imaginary)."""
    return np.ascontiguousarray(values).view(np.float32).reshape(*values.shape, 2)


def vectors(clip: Clip) -> Iterator[tuple[Arrays, Result]]:
    """For each frame after the first: the arrays of its first search pass, the filter after it, and the result."""
    pipeline = open_pipeline(MODEL, "cpu", preset=PRESET)
    state = init_target(pipeline, clip.frame(0), clip.box(0))
    for index in range(1, clip.length):
        frame = clip.frame(index)
        arrays = first_search(pipeline, state, frame)
        state, (result,) = step(pipeline, state, {0: frame})
        yield arrays | {"filter": pairs(state.filters.arrays.filter_f[0])}, result


def write(folder: Path, clip: Clip) -> None:
    """Writes the frames, the first box, the arrays of each frame and the results of a clip."""
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder, clip)
    rows = [("frame", "x", "y", "w", "h", "peak", "psr", "status", "reason"), (0, *clip.box(0), "", "", "", "")]
    for index, (arrays, result) in enumerate(vectors(clip), start=1):
        for name, array in arrays.items():
            np.save(folder / f"{index:03}_{name}.npy", array)
        rows.append((index, *result.box, result.peak, result.psr, result.status.value, result.reason.value))
    with (folder / "track.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_frames(folder: Path, clip: Clip) -> None:
    """frames.ppm: all frames as PPM images, one after another. first_box.txt: X,Y,W,H."""
    with (folder / "frames.ppm").open("wb") as file:
        for index in range(clip.length):
            frame = clip.frame(index)
            file.write(f"P6\n{frame.shape[1]} {frame.shape[0]}\n255\n".encode() + frame[..., ::-1].tobytes())
    box = ",".join(repr(float(value)) for value in clip.box(0))
    (folder / "first_box.txt").write_text(f"{box}\n", "utf-8")


def compare(golden: Path, other: Path) -> dict[str, float]:
    """The largest difference of each kind of array. Raises FileNotFoundError for an array that is missing."""
    largest = dict.fromkeys(TOLERANCES, 0.0)
    for file in sorted(golden.glob("*_*.npy")):
        expected, found = np.load(file), np.load(other / file.name)
        name = file.stem.split("_", 1)[1]
        scale = np.abs(expected) if name == "peak" else np.abs(expected).max()  # its seven numbers have different units
        difference = np.abs(expected - found.reshape(expected.shape)) / np.maximum(scale, 1e-3)
        largest[name] = max(largest[name], float(difference.max()))
    return largest


def too_large(differences: Mapping[str, float]) -> list[str]:
    """The kinds of arrays whose difference is above its tolerance."""
    return [name for name, tolerance in TOLERANCES.items() if not differences[name] <= tolerance]


def read_track(text: str) -> list[tuple[Box, str, str]]:
    """Box, status and reason of each line of a track.csv."""
    rows = csv.DictReader(text.splitlines())
    return [(Box(*(float(row[name]) for name in "xywh")), row["status"], row["reason"]) for row in rows]


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="write the golden vectors of a rendered clip")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--frames", type=int, default=6, help="frames of the clip, 320 x 240 px")
    comparing = commands.add_parser("compare", help="compare the vectors of a port with the golden ones")
    comparing.add_argument("folder", type=Path)
    comparing.add_argument("other", type=Path)
    options = parser.parse_args()
    if options.command == "write":
        write(options.folder, render_clip(options.frames, 320, 240, occluder=False))
        return
    differences = compare(options.folder, options.other)
    for name, difference in differences.items():
        print(f"{name:14} {difference:9.2e}, tolerance {TOLERANCES[name]:g}")
    sys.exit(bool(too_large(differences)))


if __name__ == "__main__":
    main()
