"""Whether a GPU's boxes are the CPU's, on the tests' stand-in for CuPy: python benchmarks/same_boxes.py FRAMES [free].

For each of CLIPS, rendered, 480 x 360: how many boxes are off by more than 0.1 px, by how much at most, how many are
not the same bits, and how far a box of the CPU's wanders in STILL frames of the first picture. With `free` centres and
steps are not rounded (docs/gpu.md, "The same boxes"). From the repository's root.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from host_share import stand_in

CLIPS, STILL, APART = (1, 2, 3, 4), 300, 0.1


def free() -> None:
    """Rounds nothing from here on."""
    from dcfnet import admission, pipeline, sighting, steps

    for module in (admission, sighting, steps):
        module.on_grid = lambda centre: centre  # type: ignore[attr-defined]
    pipeline.on_steps = lambda regions, patch_size: regions  # type: ignore[attr-defined]


def followed(tracker: Any, frames: list[Any], box: Any) -> np.ndarray:
    """Its boxes in the frames after the first, where it begins with `box`."""
    tracker.init(frames[0], box)
    return np.array([tuple(tracker.update(frame).box) for frame in frames[1:]])


def main() -> None:
    length = int(sys.argv[1])
    stand_in()
    import dcfnet  # with the stand-in in place
    from dcfnet_evaluation.rendered import render_clip

    if "free" in sys.argv[2:]:
        free()
    for seed in CLIPS:
        clip = render_clip(length, 480, 360, seed, occluder=bool(seed % 2))
        frames, box = [clip.frame(index) for index in range(length)], clip.box(0)
        one, other = (followed(dcfnet.Tracker(device=device), frames, box) for device in ("cpu", "cuda"))
        apart = np.abs(one - other).max(axis=1)
        still = followed(dcfnet.Tracker(device="cpu"), [frames[0]] * (STILL + 1), box)
        wander = np.ptp(still[STILL // 6 :], axis=0).max()
        print(
            f"clip {seed}: {(apart > APART).sum()} of {len(apart)} apart, {apart.max():.2g} px at most, "
            f"{(apart > 0).sum()} not the same; still: {wander:.2g} px",
            flush=True,
        )


if __name__ == "__main__":
    main()
