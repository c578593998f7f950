"""Compares the time of `import dcfnet` with that of its libraries: python benchmarks/import_time.py [REPEATS].

Both are measured alternately, in new interpreters. The result is the median of the ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PACKAGE, LIBRARIES = "import dcfnet", "import numpy, cv2"


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main(repeats: int) -> None:
    for statement in (PACKAGE, LIBRARIES):
        seconds(statement)  # fills the file cache
    pairs = [(seconds(PACKAGE), seconds(LIBRARIES)) for _ in range(repeats)]
    package, libraries = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{PACKAGE}: {package:.3f} s; {LIBRARIES}: {libraries:.3f} s; ratio {ratio:.2f} (median of {repeats})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
