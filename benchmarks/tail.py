"""p99 / p50 of like frames, a sequence at a time: python benchmarks/tail.py BENCH [UPDATES].

BENCH is what dcfnet-bench wrote. Its own table takes the updates of all sequences together, whose medians differ; here
is the median over the sequences, and the largest, of those that have UPDATES (30) of the kind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from dcfnet_evaluation.bench.kinds import KINDS
from dcfnet_evaluation.bench.sheet import read_bench


def main(bench: Path, updates: int = 30) -> None:
    for name, figures in read_bench(bench).figures.items():
        for kind in KINDS:
            found = (course.kinds[kind] for course in figures.sequences.values() if kind in course.kinds)
            ratios = [spread.p99 / spread.p50 for spread in found if spread.updates >= updates]
            if ratios:
                print(
                    f"{name:16s} {kind:20s} {median(ratios):5.2f}, up to {max(ratios):5.2f}, {len(ratios):2d} sequences"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
