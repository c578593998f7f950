"""Memory of a process that tracks."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

TRACK_1080P = """
import numpy as np, psutil, dcfnet
rng = np.random.default_rng(0)
frame = rng.integers(0, 256, size=(1080, 1920, 3), dtype=np.uint8)
tracker = dcfnet.Tracker()
tracker.init(frame, (900, 500, 90, 120))
process, sizes = psutil.Process(), []
for t in range(150):
    tracker.update(frame)
    sizes.append(process.memory_info().rss / 1e6)
print(max(sizes), sizes[-1] - sizes[49])
"""


@pytest.mark.skipif(not psutil.LINUX, reason="other systems count resident memory differently")
def test_tracking_1080p_needs_less_than_300_mb_and_memory_does_not_grow() -> None:
    """A short version of benchmarks/soak.py, which runs 10,000 frames."""
    out = subprocess.run([sys.executable, "-c", TRACK_1080P], capture_output=True, text=True, check=True).stdout
    peak, growth = (float(value) for value in out.split())
    assert peak < 300
    assert growth < 5
