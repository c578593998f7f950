"""Random calls and damaged files: python -m benchmarks.fuzz [CALLS] [FILES] [SECONDS] [NAME], in the repository's root.

CALLS: random calls of the trackers (tests/runtime/fuzz.py). FILES: damaged files for the readers
(tests/fuzz/). SECONDS: limit for each of both parts. Writes benchmarks/results/NAME_DATE.json with the numbers that
ran; NAME: fuzz by default. A failure ends the run with the calls, or with the reader and the seed, that repeat it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import cv2
import numpy
from dcfnet.config.version import __version__
from dcfnet.io.files import write_atomically
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.damage import attempt
from tests.fuzz.readers import READERS
from tests.runtime.fuzz import Calls

RESULTS = Path(__file__).parent / "results"
BATCH = settings(
    max_examples=20, stateful_step_count=50, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def main(calls: int = 100_000, files: int = 100_000, seconds: float = 3600.0, name: str = "fuzz") -> None:
    record = {"date": date.today().isoformat(), "version": __version__, "numpy": numpy.__version__}
    record |= {"opencv": cv2.__version__, "python": sys.version.split()[0]}
    record |= {"calls": random_calls(calls, seconds), "files": damaged_files(files, seconds)}
    content = (json.dumps(record, indent=1) + "\n").encode()
    write_atomically(content, RESULTS / f"{name}_{date.today().isoformat()}.json")
    print(json.dumps(record, indent=1))


def random_calls(count: int, seconds: float) -> dict[str, float]:
    """Runs sequences of up to 50 calls until `count` calls are done."""
    start = time.perf_counter()
    while Calls.calls < count and time.perf_counter() - start < seconds:
        run_state_machine_as_test(Calls, settings=BATCH)
        print(f"{Calls.calls} calls in {Calls.trials} sequences, {time.perf_counter() - start:.0f} s", flush=True)
    return {"calls": Calls.calls, "sequences": Calls.trials, "seconds": round(time.perf_counter() - start)}


def damaged_files(count: int, seconds: float) -> dict[str, object]:
    """Damages the file of each reader in turn, with the seeds 0, 1, 2, ...."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    accepted, done, start = dict.fromkeys((reader.name for reader in READERS), 0), 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        while done < count and time.perf_counter() - start < seconds:
            reader, seed = READERS[done % len(READERS)], done // len(READERS)
            try:
                accepted[reader.name] += attempt(reader, Path(folder), seed)
            except Exception:
                print(f"{reader.name}, seed {seed}", file=sys.stderr)
                raise
            done += 1
    return {"files": done, "accepted": accepted, "seconds": round(time.perf_counter() - start)}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:5])
