"""How often a frame is called a camera cut: python benchmarks/camera_cuts.py FOLDER... [--pairs 2000].

FOLDER: folders of sequences, each with image files of its own. Prints the number of cuts between consecutive frames,
per folder, with their frames, and the same with 1 and 4 frames left out in between, as if they had been dropped. Then
the share of cuts that are found between random frames of different sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dcfnet.io.decoding.images import read_image
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.camera_cuts import Views, is_cut, read_views

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")


def views_of(pipeline: Pipeline, folder: Path) -> Views:
    """The views of all images below a folder, in the order of their names."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGES)
    return np.concatenate([_view(pipeline, file) for file in files])


def _view(pipeline: Pipeline, file: Path) -> Views:
    frame = pipeline.backend.frame(read_image(file))
    return read_views(pipeline, {0: frame}, np.zeros(1, np.intp))


def random_cuts(views: list[Views], pairs: int) -> tuple[Views, Views]:
    """Views of random frames of different sequences."""
    rng = np.random.default_rng(0)
    chosen = [rng.choice(len(views), size=2, replace=False) for _ in range(pairs)]
    drawn = [[views[index][rng.integers(len(views[index]))] for index in pair] for pair in chosen]
    first, second = (np.stack(column) for column in zip(*drawn, strict=True))
    return first, second


def lines(folder: Path, views: dict[str, Views]) -> Iterator[str]:
    """The lines of one folder."""
    for left_out in (0, 1, 4):
        step, found = left_out + 1, []
        for name, view in views.items():
            cuts = np.flatnonzero(is_cut(view[:-step], view[step:]))
            found += [f"{name} {index + step + 1}" for index in cuts]
        pairs = sum(max(len(view) - step, 0) for view in views.values())
        share = 1e4 * len(found) / pairs
        yield f"{folder.name}, {left_out} frames left out: {len(found)} cuts in {pairs} pairs, {share:.1f} in 10,000"
        yield "  " + ", ".join(found if left_out == 0 else found[:6])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=2000)
    chosen = parser.parse_args()
    pipeline, everything = open_pipeline("deep", device="cpu"), list[Views]()
    for folder in chosen.folders:
        views = {each.name: views_of(pipeline, each) for each in sorted(folder.iterdir()) if each.is_dir()}
        everything += views.values()
        print("\n".join(lines(folder, views)), flush=True)
    print(f"random cuts found: {is_cut(*random_cuts(everything, chosen.pairs)).mean():.3f} of {chosen.pairs}")


if __name__ == "__main__":
    main()
