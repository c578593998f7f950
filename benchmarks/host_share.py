"""What the host does for an update on a GPU, kernels left out: python benchmarks/host_share.py TARGETS {host,device}.

On the tests' stand-in for CuPy, from the root of the repository: once its graphs are captured they are emptied, so that
every answer is the last one again, with no shift. Part of the time is the stand-in's: compare commits, do not read
it as a GPU's. Prints median and least milliseconds of UPDATES updates of a 1280 x 720 frame.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dcfnet import backend, kernels
from dcfnet_evaluation.rendered import render_clip
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the tests' stand-in

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import ndarray, standin

UPDATES, WARM_UP = 300, 4


def stand_in() -> Any:
    """The stand-in, in CuPy's place."""
    with TemporaryDirectory() as folder:
        module = standin(HostKernels(kernels.source(), Path(folder)))
    sys.modules["cupy"] = module
    backend.find_spec = lambda name: object()  # type: ignore[assignment]
    return module


def still(module: Any, found: NDArray[np.float64]) -> None:
    """From here on nothing is computed or copied, new memory is not filled, and no target moves.

    found: what was read of every peak last, as reading.py has it, in pinned memory.
    """

    def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        return ndarray(module.state.allocate(shape, dtype))

    def leave(*_: Any) -> None: ...

    for graph in module.state.launched:
        graph.steps.clear()
    HostKernels.launch = leave  # type: ignore[method-assign]  # of those outside of graphs
    found[:, 1:3] = 0
    module.empty, module.cuda.runtime.memcpyAsync, module.cuda.runtime.memcpy2DAsync = empty, leave, leave


def main() -> None:
    targets, memory, module = int(sys.argv[1]), sys.argv[2], stand_in()
    import dcfnet  # with the stand-in in place

    clip = render_clip(length=WARM_UP + 1, width=1280, height=720, occluder=False)
    tracker, (x, y, w, h) = dcfnet.MultiTracker(device="cuda", capacity=targets), clip.box(0)
    for number in range(targets):
        tracker.add(clip.frame(0), (x + number % 8, y + number // 8, w, h))
    frames = [clip.frame(index + 1) for index in range(WARM_UP)]
    if memory == "device":
        frames = [module.asarray(frame) for frame in frames]
    for frame in frames:
        tracker.update(frame)
    still(module, tracker._state.filters.lease.slots._found)
    times = []
    for _ in range(UPDATES):
        since = time.perf_counter()
        tracker.update(frames[-1])
        times.append(1e3 * (time.perf_counter() - since))
    print(f"{targets} targets, frames of the {memory}: median {median(times):.3f} ms, least {min(times):.3f} ms")


if __name__ == "__main__":
    main()
