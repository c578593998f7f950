"""Compares a GPU's boxes with the CPU's on the tests' stand-in: python benchmarks/same_boxes.py FRAMES [free].

Run it from the root of the repository. For each of CLIPS, rendered, 480 x 360, it prints how many boxes differ by more
than APART px, the largest difference, how many are not equal bit for bit, and how far a box of the CPU moves in STILL
copies of the first frame. With `free`, centres and steps are not rounded (docs/gpu.md, "The same boxes on every
device").
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from host_share import stand_in

CLIPS, STILL, APART = (1, 2, 3, 4), 300, 0.1  # seeds, frames, px


def disable_rounding() -> None:
    """From now on centres and steps are not rounded."""
    from dcfnet.tracking import frame_validation, pipeline, search, steps

    for module in (frame_validation, search, steps):
        module.to_centre_grid = lambda centre: centre  # type: ignore[attr-defined]
    pipeline.to_step_grid = lambda regions, patch_size: regions  # type: ignore[attr-defined]


def boxes_of(tracker: Any, frames: list[Any], box: Any) -> np.ndarray:
    """The tracker's boxes, (N - 1, 4), in N frames after an init with `box` in the first one."""
    tracker.init(frames[0], box)
    return np.array([tuple(tracker.update(frame).box) for frame in frames[1:]])


def main() -> None:
    length = int(sys.argv[1])
    stand_in()
    import dcfnet  # with the stand-in in place
    from dcfnet_evaluation.rendered import render_clip

    if "free" in sys.argv[2:]:
        disable_rounding()
    for seed in CLIPS:
        clip = render_clip(length, 480, 360, seed, occluder=bool(seed % 2))
        frames, box = [clip.frame(index) for index in range(length)], clip.box(0)
        on_cpu, on_gpu = (boxes_of(dcfnet.Tracker("dcfnet", device=device), frames, box) for device in ("cpu", "cuda"))
        difference = np.abs(on_cpu - on_gpu).max(axis=1)
        still = boxes_of(dcfnet.Tracker("dcfnet", device="cpu"), [frames[0]] * (STILL + 1), box)
        movement = np.ptp(still[STILL // 6 :], axis=0).max()
        print(
            f"clip {seed}: {(difference > APART).sum()} of {len(difference)} differ by more than {APART} px, "
            f"{difference.max():.2g} px at most, {(difference > 0).sum()} not equal; still: {movement:.2g} px",
            flush=True,
        )


if __name__ == "__main__":
    main()
