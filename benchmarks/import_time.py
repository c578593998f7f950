"""Time of `import dcfnet` against that of the libraries it stands on: python benchmarks/import_time.py [REPEATS].

Fresh interpreters, the two taken in turn; the median of the ratios is what counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

OURS, FLOOR = "import dcfnet", "import numpy, cv2"


def seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def main(repeats: int) -> None:
    for statement in (OURS, FLOOR):
        seconds(statement)  # fills the file cache
    pairs = [(seconds(OURS), seconds(FLOOR)) for _ in range(repeats)]
    ours, floor = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{OURS}: {ours:.3f} s; {FLOOR}: {floor:.3f} s; ratio {ratio:.2f} (median of {repeats})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
