"""Launches the kernels that compute the places of searches and decide about targets.

They agree with `search_places` (tracking/search.py), `texture_grids` (sampling.py), `read_views`
(tracking/redetection/camera_cuts.py), and with `step` and `_track` (tracking/steps.py).
tests/runtime/cuda/test_decisions.py compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.cuda.kernels.program import DECISIONS
from dcfnet.devices.cuda.kernels.sections import Sections
from dcfnet.devices.cuda.sampling import GRID
from dcfnet.devices.records import VIEW_SIDE
from dcfnet.filter.dcf import Array
from dcfnet.io.texture import SAMPLES

THREADS = 64  # threads per block: each decides about one target
GRID_SIDE = 2 * SAMPLES - 1  # most pixels of a texture check along one side


class Decisions:
    """Places and decisions by the constants of one pipeline."""

    def __init__(self, device: Any, rules: NDArray[np.void]) -> None:
        """device: a `CudaDevice`. rules: RULES (1,)."""
        self._device, self._rules = device, device.constant(rules.view(np.uint8))
        self._with_views = bool(rules["whole_frame"][0])

    def place_searches(self, given: Mapping[str, Array], count: int) -> Array:
        """Writes the places of the search patches, and starts the texture check. Queued.

        given: `Sections.searched` as bytes. Returns the levels of `extremes`, int32 (count, 3, 3).
        """
        grids, levels = (
            self._device.empty((count * GRID.itemsize,), np.uint8),
            self._device.empty((count, 3, 3), np.int32),
        )
        arrays = (self._rules, given["targets"], given["before"], given["places"], grids, levels)
        self._launch("place_searches", count, *arrays, count=count)
        self._device.launch("extremes", count * GRID_SIDE**2, grids, levels, np.int32(count), np.int32(GRID_SIDE))
        return levels

    def read_views(self, given: Mapping[str, Array], count: int) -> Array:
        """The views of the frames, uint8 (count * VIEW_SIDE * VIEW_SIDE,); without values if the rules use none.

        Queued. given: as for `place_searches`.
        """
        views = self._device.empty((count * VIEW_SIDE**2,), np.uint8)
        if self._with_views:
            patches = np.int32(len(given["places"]) // (count * PLACE.itemsize))
            self._launch(
                "read_views", count * VIEW_SIDE**2, given["before"], given["places"], views, patches, count=count
            )
        return views

    def decide(self, given: Mapping[str, Array], levels: Array, peaks: Array, views: Array, count: int) -> Array:
        """`Sections.found` as bytes, queued. given: as for `place_searches`. peaks: see `PeakReader`."""
        found = self._device.empty((Sections.found(count).nbytes,), np.uint8)
        results = Sections.found(count).of(found)
        inputs = (self._rules, given["targets"], given["before"], given["places"], levels, peaks, views)
        outputs = (results["targets"], results["outcomes"], results["updates"])
        self._launch("decide", count, *inputs, *outputs, count=count)
        return found

    def _launch(self, kernel: str, threads: int, *arguments: Array | np.generic, count: int) -> None:
        blocks = -(-threads // THREADS)
        self._device.launch_blocks(kernel, blocks, THREADS, 0, *arguments, np.int32(count), program=DECISIONS)
