"""Measures samples per second of the loader and of whole training steps, with the default recipe.

    python benchmarks/training_speed.py FOOTAGE PHOTOS [STEPS]
    python benchmarks/training_speed.py FOOTAGE CACHE [STEPS]

The first form prepares pairs in the main process (0 workers) and in one worker. If the loader alone is faster than the
steps, the network does not wait for its pairs. The second form, with a cache of crops of the same footage, compares the
loader on whole frames with the loader on crops, alternately, in the main process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dcfnet.io.image_series import image_files
from dcfnet_train.footage.crop_manifest import MANIFEST
from dcfnet_train.footage.videos import read_footage
from dcfnet_train.loop import train
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import Run
from torch.utils.data import DataLoader

WARM_UP = 3  # batches that are not counted: processes start, caches fill


def rate(ticks: Iterator[object], batch: int) -> float:
    """Samples per second. ticks: yields once per batch."""
    for _ in islice(ticks, WARM_UP):
        pass
    start, count = time.perf_counter(), sum(1 for _ in ticks)
    return count * batch / (time.perf_counter() - start)


def steps(recipe: Recipe, pairs: Pairs, workers: int) -> float:
    """Samples per second of whole steps."""
    times: list[float] = []
    with TemporaryDirectory() as folder:
        run = Run.start(recipe, Path(folder))
        run.on_step.append(lambda *_: times.append(time.perf_counter()))
        train(run, pairs, workers)
    return (len(times) - WARM_UP) * recipe.batch / (times[-1] - times[WARM_UP - 1])


def compare(footage: str, cache: str, count: int, rounds: int = 5) -> None:
    """Prints the speed of the loader on whole frames and on crops: medians over rounds, and the median ratio."""
    recipe = Recipe(steps=count + WARM_UP, synthetic=0.0)
    both = [Pairs(read_footage(place), [], recipe, recipe.steps * recipe.batch) for place in (footage, cache)]
    rates = [[rate(iter(DataLoader(pairs, recipe.batch)), recipe.batch) for pairs in both] for _ in range(rounds)]
    whole, crops = (median(column) for column in zip(*rates, strict=True))
    ratio = median(second / first for first, second in rates)
    print(f"loader from whole frames {whole:.1f}, from crops {crops:.1f} samples per second; ratio {ratio:.2f}")


def main(footage: str, other: Path, count: int = 30) -> None:
    if (other / MANIFEST).is_file():
        compare(footage, str(other), count)
        return
    recipe = Recipe(steps=count + WARM_UP)
    pairs = Pairs(read_footage(footage), image_files(other), recipe, recipe.steps * recipe.batch)
    for workers in (0, 1):
        loader = rate(iter(DataLoader(pairs, recipe.batch, num_workers=workers)), recipe.batch)
        step = steps(recipe, pairs, workers)
        print(f"{workers} workers: loader {loader:6.1f}, whole step {step:6.1f} samples per second")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
