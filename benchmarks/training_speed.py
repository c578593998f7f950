"""Samples a second of the loader alone and of whole steps.

    python benchmarks/training_speed.py FOOTAGE PHOTOS [STEPS]
    python benchmarks/training_speed.py FOOTAGE CACHE [STEPS]

The default recipe, with pairs prepared in the process itself (0 workers) and in one beside it. What the loader gives
alone over what a step takes says whether the network has to wait for its pairs. With a cache of crops of the same
footage instead of photographs: the loader alone, from whole frames and from crops in turns, in the process itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dcfnet.frames import image_files
from dcfnet_train.crops.manifest import MANIFEST
from dcfnet_train.loop import train
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import Run
from dcfnet_train.videos import read_footage
from torch.utils.data import DataLoader

WARM_UP = 3  # batches that do not count: processes start, caches fill


def rate(ticks: Iterator[object], batch: int) -> float:
    """Samples a second between the ticks, one a batch."""
    for _ in islice(ticks, WARM_UP):
        pass
    began, count = time.perf_counter(), sum(1 for _ in ticks)
    return count * batch / (time.perf_counter() - began)


def steps(recipe: Recipe, pairs: Pairs, workers: int) -> float:
    """Samples a second of whole steps."""
    times: list[float] = []
    with TemporaryDirectory() as folder:
        run = Run.start(recipe, Path(folder))
        run.on_step.append(lambda *_: times.append(time.perf_counter()))
        train(run, pairs, workers)
    return (len(times) - WARM_UP) * recipe.batch / (times[-1] - times[WARM_UP - 1])


def compare(footage: str, cache: str, count: int, turns: int = 5) -> None:
    """The loader from whole frames and from their crops: medians of turns, and the median of their ratios."""
    recipe = Recipe(steps=count + WARM_UP, synthetic=0.0)
    sources = [Pairs(read_footage(place), [], recipe, recipe.steps * recipe.batch) for place in (footage, cache)]
    rates = [[rate(iter(DataLoader(pairs, recipe.batch)), recipe.batch) for pairs in sources] for _ in range(turns)]
    whole, crops = (median(column) for column in zip(*rates, strict=True))
    ratio = median(second / first for first, second in rates)
    print(f"loader from whole frames {whole:.1f}, from crops {crops:.1f} samples a second; ratio {ratio:.2f}")


def main(footage: str, other: Path, count: int = 30) -> None:
    if (other / MANIFEST).is_file():
        compare(footage, str(other), count)
        return
    recipe = Recipe(steps=count + WARM_UP)
    pairs = Pairs(read_footage(footage), image_files(other), recipe, recipe.steps * recipe.batch)
    for workers in (0, 1):
        loader = rate(iter(DataLoader(pairs, recipe.batch, num_workers=workers)), recipe.batch)
        print(
            f"{workers} workers: loader {loader:6.1f}, whole step {steps(recipe, pairs, workers):6.1f} samples a second"
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
