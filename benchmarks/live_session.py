"""A long RTSP session with restarts and stalls of the server: python -m benchmarks.live_session [FRAMES] [FILE].

A server of GStreamer (see tests/runtime/live) sends 640 x 480 px, 30 frames per second, H.264, and draws its clock into
the pixels. The server is started again five times and stalls twice. The true age of a frame is the time from the
drawing of the clock until the result is ready: encoding, network, decoding and tracking. Prints the figures as JSON,
and writes them to FILE.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import dcfnet
import numpy as np
import psutil
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import render_clip

from tests.runtime.live.rtsp_process import RtspServer, drawn_time

RATE = 30.0
DOWN, STALLED = 3.0, 6.0  # s
EVENTS = ("restart", "stall", "restart", "restart", "stall", "restart", "restart")
MEMORY_AT = (0.05, 0.25, 0.5, 0.75, 1.0)  # shares of the frames
ROW = np.dtype([(name, np.float64) for name in ("drawn", "age", "told", "skipped", "gap", "lost")])


def main(count: int, file: Path | None) -> None:
    clip = render_clip(60, 640, 480, occluder=False)
    order = [*range(60), *range(58, 0, -1)]
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        server = RtspServer([clip.frame(t) for t in order], Path(folder) / "frames.yuv")
        server.run()
        try:
            rows, sizes = track(server, clip.box(0), count, told)
        finally:
            server.kill()
    result = figures(rows, sizes) | {"told": told}
    text = json.dumps(result, indent=1)
    print(text)
    if file is not None:
        file.write_text(text + "\n")


def track(server: RtspServer, box: dcfnet.Box, count: int, told: list[str]) -> tuple[np.ndarray, list[float]]:
    """One ROW for each frame, and the memory of this process alone, MB. The server is disturbed at equal distances.

    drawn: the time that the server drew, s. age: from then to the result, s. told: the age in `Delay`.
    """
    tracker, process = dcfnet.Tracker(threads=1), psutil.Process()
    rows = np.zeros(count, ROW)
    rows["drawn"] = -1.0  # reserves the memory now
    sizes: list[float] = []
    checks = [round(count * share) for share in MEMORY_AT]
    due = [round(count * (n + 1) / (len(EVENTS) + 1)) for n in range(len(EVENTS))]
    with closing(open_source(server.url, live=LiveOptions(tell=told.append))) as source:
        frames = iter(source)
        tracker.init(next(frames).pixels, box)
        for done, frame in enumerate(frames, 1):
            assert frame.pixels is not None
            lost = tracker.update(frame.pixels, frame.time).status is dcfnet.Status.LOST
            drawn, delay = drawn_time(frame.pixels), frame.answered().delay
            assert delay is not None
            rows[done - 1] = (drawn, time.monotonic() - drawn, delay.age, delay.skipped, delay.gap, lost)
            if done in checks:
                sizes.append(process.memory_full_info().uss / 1e6)
            if done == count:
                break
            if done in due:
                disturb(server, EVENTS[due.index(done)])
    return rows, sizes


def disturb(server: RtspServer, event: str) -> None:
    """Kills the server and starts it again after DOWN, or stops it for STALLED."""
    if event == "restart":
        server.kill()
        threading.Timer(DOWN, server.run).start()
    else:
        server.stop_for(STALLED, signal.SIGSTOP, signal.SIGCONT)


def figures(rows: np.ndarray, sizes: list[float]) -> dict[str, Any]:
    """The figures of the session, ages in ms. `up`: frames without a gap before them."""
    drawn, gap, skipped = rows["drawn"], rows["gap"], rows["skipped"]
    up = gap == 0
    true, told = rows["age"][up] * 1000, rows["told"][up] * 1000
    steps, frames = np.diff(drawn), skipped[1:] + 1
    missing = np.where(up[1:], steps - frames / RATE, steps - gap[1:])
    return {
        "frames": len(rows),
        "skipped": int(skipped.sum()),
        "lost": int(rows["lost"].sum()),
        "minutes": round(float(drawn[-1] - drawn[0]) / 60, 2),
        "events": list(EVENTS),
        "gaps, s": [round(float(value), 2) for value in gap[gap > 0]],
        "steps of the drawn clock at the gaps, s": [round(float(value), 2) for value in steps[gap[1:] > 0]],
        "largest step without a gap, s": round(float(steps[up[1:]].max()), 3),
        "largest time neither in a gap nor in frames, s": round(float(missing.max()), 3),
        "true age while up, ms": quantiles(true),
        "age in the rows while up, ms": quantiles(told),
        "memory of the process alone after 5, 25, 50, 75, 100 % of the frames, MB": [round(size, 1) for size in sizes],
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f} in the last 5 minutes",
        "opencv": cv2.__version__,
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Of ages, ms."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: round(float(np.quantile(values, share)), 1) for name, share in shares.items()}


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]) if arguments else 10_000, Path(arguments[1]) if arguments[1:] else None)
