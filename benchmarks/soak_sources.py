"""An hour with files, folders and streams: python -m benchmarks.soak_sources [SECONDS] [FILE].

One process tracks again and again: a video, a folder of images, and a stream whose server closes the connection once.
Every tenth round opens a new tracker, saves and restores its state, and closes it. After each round the script reads
the memory that is in use (of malloc, and blocks of Python), resident memory, open files and threads. It prints the
growth per hour as JSON, each with the 95 % interval of a bootstrap over blocks of rounds, and writes it to FILE. Exit
code 1 if the memory in use grows: if the whole interval is above 0 and the growth is more than 1 MB per hour.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import dcfnet
import numpy as np
import psutil
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import Clip, render_clip
from numpy.typing import NDArray

from tests.runtime.live.mjpeg_server import MjpegServer

FRAMES, STREAM_FRAMES, RATE = 60, 60, 15.0  # frames of a round, and frames per second of the stream
PAUSE = 3.0  # s between two rounds
SETTLED = 10  # rounds before the comparison: caches fill
BLOCK, RESAMPLES = 5, 2000  # rounds of a block of the bootstrap
LEAK = 1.0  # MB per hour
MEASURES = ("malloc_mb", "python_blocks", "resident_mb", "open_files", "threads")


class MallocInfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "top",
        )
    ]


def malloc_in_use() -> float:
    """Bytes that malloc has given out and that were not freed, MB: free memory inside its heaps does not count."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocInfo
    info = mallinfo2()
    return float(info.uordblks + info.hblkhd) / 1e6


def reading(process: psutil.Process) -> tuple[float, ...]:
    """The values of MEASURES."""
    gc.collect()
    blocks, resident = sys.getallocatedblocks(), process.memory_info().rss / 1e6
    return malloc_in_use(), blocks, resident, process.num_fds(), process.num_threads()


def track(tracker: dcfnet.Tracker, source: str, box: dcfnet.Box, count: int) -> int:
    """Tracks up to `count` frames of a source; their number."""
    with closing(open_source(source, live=LiveOptions(reconnect=5.0))) as opened:
        frames = islice(iter(opened), count)
        first = next(frames)
        assert first.pixels is not None
        tracker.init(first.pixels, box)
        return 1 + sum(tracker.update(frame.pixels, frame.time).box is not None for frame in frames)


def one_round(tracker: dcfnet.Tracker, clip: Clip, folder: Path, server: MjpegServer) -> int:
    """A video, the images and the stream; the number of frames."""
    box, frames = clip.box(0), 0
    for source, count in ((folder / "clip.mp4", FRAMES), (folder / "images", FRAMES), (server.url, STREAM_FRAMES)):
        frames += track(tracker, str(source), box, count)
    return frames


def save_and_restore(clip: Clip, file: Path) -> None:
    """The life of another tracker."""
    with dcfnet.Tracker(threads=1) as tracker:
        tracker.init(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        tracker.save(file)
        tracker.restore(file)
        tracker.update(clip.frame(2))


def write_clip(clip: Clip, folder: Path) -> None:
    images = folder / "images"
    images.mkdir()
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (320, 240))
    for t in range(FRAMES):
        writer.write(clip.frame(t))
        cv2.imwrite(str(images / f"{t:04d}.jpg"), clip.frame(t))
    writer.release()


def growth(hours: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Slope per hour by least squares, and its 95 % interval from a bootstrap over blocks of rounds."""
    blocks = np.array_split(np.arange(len(hours)), max(len(hours) // BLOCK, 2))
    rng, slopes = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))])
        slopes.append(np.polyfit(hours[rows], values[rows], 1)[0])
    low, high = np.quantile(slopes, [0.025, 0.975])
    return float(np.polyfit(hours, values, 1)[0]), float(low), float(high)


def summary(rows: NDArray[np.float64], frames: int) -> dict[str, Any]:
    """rows: (rounds, 1 + measures): hours since the start, and the values of MEASURES."""
    kept = rows[SETTLED:] if len(rows) > 2 * SETTLED else rows
    result: dict[str, Any] = {"rounds": len(rows), "frames": frames, "hours": rows[-1, 0]}
    for name, values in zip(MEASURES, kept.T[1:], strict=True):
        slope, low, high = growth(kept[:, 0], values)
        ends = {"first": values[0], "last": values[-1], "largest": values.max()}
        result[name] = {**ends, "growth_per_hour": slope, "interval": [low, high]}
    return result


def main(seconds: float, file: Path | None) -> int:
    clip, process = render_clip(FRAMES, 320, 240, occluder=False), psutil.Process()
    rows = np.zeros((int(seconds / PAUSE) + 2, 1 + len(MEASURES)))  # allocated now: the record itself must not grow
    rounds = frames = 0
    start = time.monotonic()
    tracker = dcfnet.Tracker(threads=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(clip, folder)
        server = MjpegServer(lambda number: clip.frame(number % FRAMES), RATE)
        server.frames_per_connection = 2 * STREAM_FRAMES // 3  # the stream must connect again once in each round
        while time.monotonic() - start < seconds:
            frames += one_round(tracker, clip, folder, server)
            if rounds % 10 == 9:
                save_and_restore(clip, folder / "state")
            rows[rounds] = ((time.monotonic() - start) / 3600, *reading(process))
            rounds += 1
            time.sleep(PAUSE)
        server.stop()
    result = summary(rows[:rounds], frames)
    print(json.dumps(result, indent=1))
    if file is not None:
        file.write_text(json.dumps(result, indent=1) + "\n")
    memory = result["malloc_mb"]
    return int(memory["interval"][0] > 0 and memory["growth_per_hour"] > LEAK)


if __name__ == "__main__":
    chosen = sys.argv[1:]
    sys.exit(main(float(chosen[0]) if chosen else 3600.0, Path(chosen[1]) if len(chosen) > 1 else None))
