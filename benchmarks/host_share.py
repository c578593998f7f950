"""What the host does for an update on a GPU, by itself: python benchmarks/host_share.py TARGETS {host,pinned,device}.

On the tests' stand-in for CuPy, from the root of the repository. Once its graphs are captured every call to CuPy is
empty, so that what is left is ours, and every answer is the last one again, with no shift. Prints median and least
milliseconds of UPDATES updates of a 1280 x 720 frame, with a lesson and without.
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
from dcfnet import backend, kernels
from dcfnet_evaluation.rendered import render_clip
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the tests' stand-in

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import ndarray, standin

UPDATES, WARM_UP = 600, 4


class Nothing:
    """In place of streams and events, all of them equal."""

    ptr = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nothing)

    def __hash__(self) -> int:
        return 0

    def synchronize(self) -> None: ...

    record = synchronize


def stand_in() -> Any:
    """The stand-in, in CuPy's place."""
    with TemporaryDirectory() as folder:
        module = standin(HostKernels(kernels.source(), Path(folder)))
    sys.modules["cupy"] = module
    backend.find_spec = lambda name: object()  # type: ignore[assignment]
    return module


def still(module: Any, tracker: Any, pinned: bool) -> None:
    """From here on nothing is computed, copied or waited for, and no target moves."""
    runtime, held, nothing = module.cuda.runtime, dict[Any, Any](), Nothing()
    kind = SimpleNamespace(device=0, type=runtime.memoryTypeHost if pinned else 0)

    def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        key = (*shape, str(dtype))
        if key not in held:
            held[key] = ndarray(np.empty(shape, dtype))
        return held[key]

    def leave(*_: Any) -> None: ...

    HostKernels.launch = leave  # type: ignore[method-assign]  # of those outside of graphs
    module.empty, runtime.memcpyAsync, runtime.memcpy2DAsync = empty, leave, leave
    module.cuda.get_current_stream, runtime.getDevice = lambda: nothing, lambda: 0
    runtime.pointerGetAttributes = lambda address: kind
    slots, owner = tracker._state.filters.lease.slots, tracker._pipeline.backend
    for graph in module.state.launched:
        graph.steps.clear()
    for staging in (*owner._uploads._turns, *owner._texture._turns, *slots._detecting._turns, *slots._learning._turns):
        staging._left = nothing
    owner._uploads._borrowed = owner._uploads._borrowed and nothing
    slots._stream, slots._found[:, 1:3] = nothing, 0


def placed(module: Any, device: Any, frame: NDArray[np.uint8], memory: str) -> Any:
    """The frame in memory of this kind."""
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

    clip = render_clip(length=WARM_UP + 1, width=1280, height=720, occluder=False)
    tracker, (x, y, w, h) = dcfnet.MultiTracker(device="cuda", capacity=targets), clip.box(0)
    for number in range(targets):
        tracker.add(clip.frame(0), (x + number % 8, y + number // 8, w, h))
    frames = [placed(module, tracker._pipeline.backend._device, clip.frame(i + 1), memory) for i in range(WARM_UP)]
    for frame in frames:
        tracker.update(frame)
    still(module, tracker, memory == "pinned")
    times, often = list[float](), tracker.config.learn_every
    for _ in range(UPDATES):
        since = time.perf_counter()
        tracker.update(frames[-1])
        times.append(1e3 * (time.perf_counter() - since))
    lesson = (often - 1 - WARM_UP) % often  # the first one with a lesson
    for name, kept in (("without a lesson", times[(lesson + 1) % often :: often]), ("with one", times[lesson::often])):
        print(f"{targets} targets, {memory}, {name}: median {median(kept):.3f} ms, least {min(kept):.3f} ms")


if __name__ == "__main__":
    main()
