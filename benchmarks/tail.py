"""p99 / p50 by kind of frame, per sequence: python benchmarks/tail.py BENCH [UPDATES].

BENCH is the output of dcfnet-bench run. The table of dcfnet-bench mixes the updates of all sequences, whose medians
differ. This script prints the median and the maximum over the sequences that have at least UPDATES (30) of a kind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from dcfnet_evaluation.bench.sheet import read_bench
from dcfnet_evaluation.bench.times.kinds import KINDS


def main(bench: Path, updates: int = 30) -> None:
    for name, figures in read_bench(bench).figures.items():
        for kind in KINDS:
            spreads = (course.kinds[kind] for course in figures.sequences.values() if kind in course.kinds)
            ratios = [spread.p99 / spread.p50 for spread in spreads if spread.updates >= updates]
            if ratios:
                print(
                    f"{name:16s} {kind:20s} {median(ratios):5.2f}, up to {max(ratios):5.2f}, {len(ratios):2d} sequences"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
