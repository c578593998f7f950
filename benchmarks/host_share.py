"""Measures the host's own time for an update on a GPU: python benchmarks/host_share.py TARGETS MEMORY [NAME=VALUE].

MEMORY, of the frames: host, pinned or device. NAME=VALUE: settings of the tracker, for example min_strength=0.3
redetection_patches=2, with which it also searches after camera cuts. cameras=5,9: the keys of cameras; the targets are
in their frames in turn. Without it, there is one camera.

It runs on the tests' stand-in for CuPy, from the root of the repository. After the graph capture every call to CuPy is
empty, so that only the project's own code is timed. Every result is the last one again, with no shift. These forms are
timed in one run, in turn: decisions on the device, and on the host as before; for pinned frames also decisions on the
device with copies of the frames, which *detect* otherwise reads in place. Prints the median and the minimum of UPDATES
updates of a 1280 x 720 frame each, in ms, with and without an update of the filter.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.devices import selection
from dcfnet.devices.cuda.kernels.program import TRACKER
from dcfnet.devices.records import UPDATE
from dcfnet_evaluation.rendered import render_clip
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # the stand-in is part of the tests

from tests.runtime.cuda.copies import Event
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import ndarray, standin

UPDATES, WARM_UP = 600, 4
FOLDER = TemporaryDirectory()  # of the compiled kernels, until the process ends


class Nothing:
    """Replaces streams; all instances are equal."""

    ptr = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nothing)

    def __hash__(self) -> int:
        return 0

    def synchronize(self) -> None: ...


def stand_in() -> Any:
    """Installs the stand-in as `cupy`, and returns it."""
    module = standin(HostKernels(TRACKER.source(), Path(FOLDER.name), TRACKER.options()))
    sys.modules["cupy"] = module
    selection.find_spec = lambda name: object()  # type: ignore[assignment]
    return module


def disable_device(module: Any, tracker: Any, pinned: bool) -> None:
    """From now on nothing is calculated, copied or waited for, and no target moves."""
    runtime, cache, nothing = module.cuda.runtime, dict[Any, Any](), Nothing()
    kind = runtime.memoryTypeHost if pinned else 0

    def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        key = (*shape, str(dtype))
        if key not in cache:
            cache[key] = ndarray(np.empty(shape, dtype))
        return cache[key]

    def do_nothing(*_: Any) -> None: ...

    HostKernels.launch = do_nothing  # type: ignore[method-assign]  # kernels outside captured programs
    module.empty, runtime.memcpyAsync, runtime.memcpy2DAsync = empty, do_nothing, do_nothing
    module.cuda.get_current_stream, runtime.getDevice = lambda: nothing, lambda: 0
    runtime.pointerGetAttributes = lambda address: SimpleNamespace(device=0, type=kind, devicePointer=address)
    for graph in module.state.launched:
        graph.steps.clear()
    Event.record = Event.synchronize = do_nothing  # type: ignore[method-assign]
    for programs in tracker._state.filters.allocation.slots._programs:
        programs.found.outcomes["shift"] = 0
        programs.found.outcomes["winner"] = tracker.config.scales // 2


def in_memory(module: Any, device: Any, frame: NDArray[np.uint8], memory: str) -> Any:
    """The frame, uint8 (H, W, 3), in "host", "pinned" or "device" memory."""
    if memory == "device":
        return module.asarray(frame)
    if memory == "host":
        return frame
    pinned = device.pinned(frame.size).reshape(frame.shape)
    pinned[...] = frame
    return pinned


def main() -> None:
    targets, memory, module = int(sys.argv[1]), sys.argv[2], stand_in()
    import dcfnet  # with the stand-in in place
    from dcfnet.devices.cuda import decided_frames
    from dcfnet.devices.cuda.slots import SlotFilters

    clip = render_clip(length=WARM_UP + 1, width=1280, height=720, occluder=False)
    cameras = [[int(key) for key in given[8:].split(",")] for given in sys.argv[3:] if given.startswith("cameras=")]
    config = TrackerConfig().parse([given for given in sys.argv[3:] if not given.startswith("cameras=")])
    keys = cameras[0] if cameras else [0]
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", capacity=targets, config=config)
    x, y, w, h = clip.box(0)
    for number in range(targets):
        tracker.add(clip.frame(0), (x + number % 8, y + number // 8, w, h), keys[number % len(keys)])
    device = tracker._pipeline.backend._device
    frames: list[Any] = [
        {key: in_memory(module, device, clip.frame(i + 1), memory) for key in keys}
        if cameras
        else in_memory(module, device, clip.frame(i + 1), memory)
        for i in range(WARM_UP)
    ]
    for frame in frames:
        tracker.update(frame)
    disable_device(module, tracker, memory == "pinned")
    interval, times = tracker.config.update_interval, dict[str, list[float]]()
    decide, in_place = SlotFilters.decide, decided_frames.places_in_place
    outcomes = [each.found.outcomes for each in tracker._state.filters.allocation.slots._programs]
    places = ["device", "host", *(["device, frames copied"] if memory == "pinned" else [])]
    for turn in range(len(places) * UPDATES):
        where, learns = places[turn % len(places)], turn // len(places) % interval == interval - 1
        on_device = where != "host"
        SlotFilters.decide = decide if on_device else lambda *_: None  # type: ignore[method-assign, assignment]
        decided_frames.places_in_place = (lambda *_: None) if "copied" in where else in_place
        tracker._state.targets["updates"] = interval - 1 if learns else 0
        for each in outcomes:
            each["flags"] = UPDATE if on_device and learns else 0
        start = time.perf_counter()
        tracker.update(frames[-1])
        elapsed = 1e3 * (time.perf_counter() - start)
        form = f"decisions on the {where}, with{'' if learns else 'out'} filter update"
        times.setdefault(form, []).append(elapsed)
    for form, values in sorted(times.items()):
        print(f"{targets} targets, {memory}, {form}: median {median(values):.3f} ms, minimum {min(values):.3f} ms")


if __name__ == "__main__":
    main()
