"""Compares the speed of two commits: python benchmarks/compare_commits.py REV_A REV_B [--pairs 10] [--footage FOLDER].

Both commits are checked out into a temporary folder. Each run is a new process of this interpreter, in the order
A B B A, on the same decoded frames: rendered ones, or a sequence in OTB's layout. The result is the median of B / A
over the pairs. Only `Tracker.init` and `Tracker.update` are used, which every commit has. Libraries and pyproject.toml
do not change with the commit: both run with what is installed. The model is the default one of each commit; between
two commits that have the names, `--with model=dcfnet` selects one model for both.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
WARM_UP = 10  # updates that are not counted


class CommitError(Exception):
    """A commit cannot be measured; the message says why."""


def measure(clip: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Runs in a child process: seconds of every update after the warm-up, and the file of the imported dcfnet."""
    import dcfnet

    arrays = np.load(clip)
    tracker = dcfnet.Tracker(**options)
    tracker.init(arrays["frames"][0], dcfnet.Box(*arrays["box"].tolist()))
    seconds = []
    for frame in arrays["frames"][1:]:
        start = time.perf_counter()
        tracker.update(frame)
        seconds.append(time.perf_counter() - start)
    return {"file": dcfnet.__file__, "seconds": seconds[WARM_UP:]}


def run_child(tree: Path, clip: Path, options: Mapping[str, Any]) -> list[float]:
    """Seconds of every counted update of the commit that is checked out in `tree`. Raises CommitError."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(clip), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "runtime"), "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if process.returncode:
        raise CommitError(f"{tree.name}: cannot be measured: {process.stderr.strip().splitlines()[-1]}")
    output = json.loads(process.stdout.splitlines()[-1])
    if not Path(output["file"]).resolve().is_relative_to(tree.resolve()):
        raise CommitError(
            f"{tree.name}: another dcfnet was imported, {output['file']}; it must be the one of the commit: remove the "
            "other one from sys.path"
        )
    return list(output["seconds"])


@contextmanager
def worktrees(revisions: Sequence[str]) -> Iterator[list[Path]]:
    """Checks the commits out, and removes them in any case. Raises CommitError if git does not know a revision."""
    with TemporaryDirectory() as folder:
        trees = [Path(folder).resolve() / f"{letter}-{index}" for index, letter in enumerate("AB")]
        try:
            for tree, revision in zip(trees, revisions, strict=True):
                git("worktree", "add", "--detach", str(tree), revision)
            yield trees
        finally:
            for tree in trees:
                if tree.exists():
                    git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> str:
    process = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if process.returncode:
        raise CommitError(f"git {' '.join(arguments)}: {process.stderr.strip()}")
    return process.stdout.strip()


def write_clip(clip: Path, footage: Path | None, frames: int, size: str) -> None:
    """Writes the frames and the first box with the present code, so that both commits get the same input."""
    from dcfnet_evaluation.bench.times.footage import decode, rendered_sequences, resized, size_of
    from dcfnet_evaluation.datasets.otb import read_otb

    try:
        sequence = rendered_sequences(1, frames)[0] if footage is None else read_otb(footage)
        decoded = decode(resized(sequence, size_of(size)), frames)
    except (ValueError, OSError) as error:  # an invalid size, unreadable frames
        raise CommitError(str(error)) from error
    if len(decoded.frames) < WARM_UP + 12:
        raise CommitError(
            f"{decoded.name}: {len(decoded.frames)} frames; at least {WARM_UP + 12} are needed; raise --frames, or "
            "give another --footage"
        )
    np.savez(clip, frames=np.stack(list(decoded.frames)), box=decoded.boxes[0])


def settings(entries: Sequence[str]) -> dict[str, Any]:
    """Arguments of Tracker from NAME=VALUE. A value is parsed as JSON if possible, else it is text."""
    arguments: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise CommitError(f"{entry}: an argument of Tracker is NAME=VALUE, for example preset=fast")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def order(pairs: int) -> list[str]:
    """The order of the runs, A B B A A B B A: a drift of the machine then affects both commits equally."""
    return list(islice(cycle("ABBA"), 2 * pairs))


def report(runs: Mapping[str, Sequence[Sequence[float]]]) -> None:
    from dcfnet_evaluation.bench.times.figures import Interval

    for name, statistic in (("p50", median), ("p99", lambda row: float(np.percentile(row, 99))), ("mean", np.mean)):
        a, b = ([float(statistic(row)) * 1000 for row in runs[letter]] for letter in "AB")  # type: ignore[operator]
        ratio = Interval.of([of_b / of_a for of_a, of_b in zip(a, b, strict=True)])
        bounds = f"{ratio.low:.3f} to {ratio.high:.3f}"
        print(
            f"{name}: A {median(a):.2f} ms, B {median(b):.2f} ms; B / A {ratio.median:.3f} ({bounds}, {len(a)} pairs)"
        )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("revisions", nargs=2, metavar="REV", help="the commits A and B, as git names them")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each commit")
    parser.add_argument("--frames", type=int, default=100, help="frames of the clip")
    parser.add_argument("--footage", type=Path, help="a sequence in OTB's layout; default: a rendered clip")
    parser.add_argument("--size", default="640x360", help="size of the frames, or native")
    parser.add_argument(
        "--with", dest="both", action="append", default=[], metavar="NAME=VALUE", help="argument of Tracker"
    )
    parser.add_argument("--with-a", action="append", default=[], metavar="NAME=VALUE", help="the same, for A only")
    parser.add_argument("--with-b", action="append", default=[], metavar="NAME=VALUE", help="the same, for B only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    chosen = parse(arguments)
    options = {"A": settings([*chosen.both, *chosen.with_a]), "B": settings([*chosen.both, *chosen.with_b])}
    commits = [git("rev-parse", "--verify", f"{revision}^{{commit}}") for revision in chosen.revisions]
    runs: dict[str, list[list[float]]] = {"A": [], "B": []}
    with TemporaryDirectory() as folder, worktrees(commits) as trees:
        clip, tree_of = Path(folder) / "clip.npz", dict(zip("AB", trees, strict=True))
        write_clip(clip, chosen.footage, chosen.frames, chosen.size)
        for letter in "AB":
            run_child(tree_of[letter], clip, options[letter])  # fills the file cache, and fails early
        for letter in order(max(chosen.pairs, 1)):
            runs[letter].append(run_child(tree_of[letter], clip, options[letter]))
    print(*(f"{letter}: {commit[:10]}" for letter, commit in zip("AB", commits, strict=True)))
    report(runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(Path(sys.argv[2]), json.loads(sys.argv[3]))))
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM removes the worktrees too
        try:
            main(sys.argv[1:])
        except CommitError as error:
            sys.exit(f"compare_commits: {error}")
