"""Counts the work of a frame on a GPU: python benchmarks/device_work.py TARGETS [PRESET].

It runs on the tests' stand-in for CuPy, from the root of the repository. Nothing is calculated. For each of the
programs *detect* and *update*, with all slots in use, it prints the number of device operations, the bytes of the
arrays that they read or write (each array counts once per operation), and the same for each kernel.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from host_share import stand_in

from tests.runtime.cuda import standin
from tests.runtime.cuda.host import HostKernels

Work = Counter[str]


class Recorder:
    """Counts operations and bytes by name, in place of running them."""

    def __init__(self) -> None:
        self.operations, self.bytes = Work(), Work()

    def add(self, name: str, size: int) -> None:
        """One operation on arrays of `size` bytes."""
        self.operations[name] += 1
        self.bytes[name] += size

    def install(self, module: Any) -> None:
        """From now on kernels and copies are counted and not run."""

        def launch(_: Any, name: str, blocks: int, threads: int, arguments: Any, shared: int = 0) -> None:
            self.add(name, sum(each.nbytes for each in arguments if isinstance(each, np.ndarray)))

        def assign(array: Any, index: Any, value: Any) -> None:
            size = 2 * array[index].size
            standin._current_state().do(lambda: self.add("copy", size))

        def contiguous(array: Any) -> Any:
            result = module.empty(array.shape, array.dtype)
            assign(result, slice(None), array)
            return result

        HostKernels.launch = launch  # type: ignore[method-assign,assignment]
        standin.ndarray.__setitem__ = assign  # type: ignore[method-assign]
        standin.ndarray.size = property(lambda array: array._values.nbytes)  # type: ignore[attr-defined]
        module.ascontiguousarray = contiguous
        memory_copy: Callable[..., None] = lambda to, start, size, *_: standin._current_state().do(  # noqa: E731
            lambda: self.add("copy between host and device", size)
        )
        module.cuda.runtime.memcpyAsync = memory_copy


def report(name: str, run: Callable[[], Any], recorder: Recorder, module: Any) -> None:
    """Prints the work of one run of a program, which is one graph."""
    recorder.operations.clear()
    recorder.bytes.clear()
    run()
    steps, total = len(module.state.launched[-1].steps), sum(recorder.bytes.values()) / 1e6
    recorder.operations["operation of CuPy, bytes not counted"] = steps - recorder.operations.total()
    recorder.bytes["operation of CuPy, bytes not counted"] = 0
    print(f"{name}: {steps} operations, {total:.2f} MB")
    for kernel, size in recorder.bytes.most_common():
        print(f"    {recorder.operations[kernel]:3d} {kernel}: {size / 1e6:.2f} MB")


def main() -> None:
    targets, module, recorder = int(sys.argv[1]), stand_in(), Recorder()
    import dcfnet  # with the stand-in in place
    from dcfnet_evaluation.rendered import render_clip

    clip = render_clip(length=1, width=320, height=240, occluder=False)
    preset = {"preset": sys.argv[2]} if len(sys.argv) > 2 else {}
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", capacity=targets, **preset)
    recorder.install(module)
    tracker.add(clip.frame(0), clip.box(0))
    programs = tracker._state.filters.allocation.slots._programs[-1]  # type: ignore[attr-defined]
    programs.prepare()
    report("detect", programs._detect_program.run, recorder, module)
    report("update", programs._update_program.run, recorder, module)


if __name__ == "__main__":
    main()
