"""p99 / p50 of `update` by kind of frame for the model `deep`, beside one call of its network in the same loop.

    python benchmarks/deep_tail.py FOLDER NAME [NAME ...]

FOLDER: sequences in OTB's layout. NAME: of the sequences to use, 300 frames of each. One thread. After each update the
network alone gets one patch: this is the control, whose ratio shows what the machine adds. A kind is the number of
patches through the network, with or without a filter update. Frames that are not `tracked` are left out, because the
tracker also searches other positions there. Prints the median ratio over the sequences in which a kind has at least 30
updates, in wall time and in CPU time, and the load of the machine.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from dcfnet import Box, Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.io.frame import Frame
from dcfnet.result import Result, Status
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.passes import run_pass
from numpy.typing import NDArray

FRAMES, WARM_UP, FEWEST = 300, 10, 30
CALLS: list[int] = []  # number of patches of each call of a network
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}


class WithControl:
    """A tracker that also runs its network on one patch after each update.

    times: seconds of the updates and of the control, by the name of the clock. kinds: of the updates.
    """

    def __init__(self, preset: str) -> None:
        self.tracker, model = Tracker("deep", "cpu", preset=preset, threads=1), load_model("deep")
        self._network, side = OrtBackbone(model, 1), self.tracker.config.patch_size
        self._patch = np.random.default_rng(0).normal(0, 50, (1, 3, side, side)).astype(np.float32)
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.kinds: list[str] = []
        self._updates = 0

    def init(self, frame: Frame, box: Box) -> None:
        self.tracker.init(frame, box)
        self._updates = 0

    def update(self, frame: Frame) -> Result:
        moments, before_update = [now()], len(CALLS)
        result = self.tracker.update(frame)
        moments.append(now())
        patches, interval = sum(CALLS[before_update:]), self.tracker.config.update_interval
        update = self._updates % interval == interval - 1
        self._updates += 1
        kind = f"{patches} patches, {'with' if update else 'without'} update" if result.status is Status.TRACKED else ""
        self.kinds.append(kind)
        self._network(self._patch)
        moments.append(now())
        for name, (before, between, after) in zip(CLOCKS, zip(*moments, strict=True), strict=True):
            self.times[name].append((between - before, after - between))
        return result


def now() -> tuple[float, ...]:
    return tuple(clock() for clock in CLOCKS.values())


def ratio(seconds: NDArray[np.float64]) -> float:
    """p99 / p50."""
    return float(np.divide(*np.quantile(seconds, [0.99, 0.5])))


def count_patches() -> None:
    """Appends the number of patches of each later call of a network to CALLS."""
    run = OrtBackbone.__call__

    def counted(self: OrtBackbone, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        CALLS.append(len(patches))
        return run(self, patches)

    OrtBackbone.__call__ = counted  # type: ignore[method-assign]


def main(folder: Path, names: list[str]) -> None:
    count_patches()
    cv2.setNumThreads(1)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for preset in ("accurate", "balanced", "fast"):
        ratios: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for name in names:
            contender = WithControl(preset)
            run_pass(contender, read_otb(folder / name), limit=FRAMES)
            kinds = np.array(contender.kinds)[WARM_UP:]
            for clock, pairs in contender.times.items():
                updates, controls = np.array(pairs)[WARM_UP:].T
                for kind in set(contender.kinds) - {""}:
                    if (kinds == kind).sum() >= FEWEST:
                        ratios[kind, clock].append((ratio(updates[kinds == kind]), ratio(controls[kinds == kind])))
        for (kind, clock), found in sorted(ratios.items()):
            update, control = (median(values) for values in zip(*found, strict=True))
            print(
                f"{preset:9s} {kind:25s} {clock:4s} update {update:.2f}, control {control:.2f}, {len(found)} sequences"
            )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
