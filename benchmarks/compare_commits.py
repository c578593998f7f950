"""Speed of two commits, pair by pair: python benchmarks/compare_commits.py REV_A REV_B [--pairs 10] [--footage FOLDER].

Both are checked out into a temporary folder and tracked with in fresh processes of the present interpreter, in the
order A B B A, on the same frames, decoded beforehand: rendered ones, or those of a sequence in OTB's layout. What
counts is the median of B / A over the pairs. Only `Tracker`'s `init` and `update` are asked for, which every commit
has. Neither pyproject.toml nor libraries follow a commit: both run on what is installed.
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
WARM_UP = 10  # updates that do not count


class CommitError(Exception):
    """A commit that cannot be measured; the message says why."""


def measure(clip: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """In a process of its own: seconds of every update after the warm-up, and where dcfnet came from."""
    import dcfnet

    held = np.load(clip)
    tracker = dcfnet.Tracker(**options)
    tracker.init(held["frames"][0], dcfnet.Box(*held["box"].tolist()))
    seconds = []
    for frame in held["frames"][1:]:
        began = time.perf_counter()
        tracker.update(frame)
        seconds.append(time.perf_counter() - began)
    return {"file": dcfnet.__file__, "seconds": seconds[WARM_UP:]}


def measured(tree: Path, clip: Path, options: Mapping[str, Any]) -> list[float]:
    """Seconds of the commit that is checked out in `tree`. Raises CommitError."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(clip), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "runtime"), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise CommitError(f"{tree.name}: cannot be measured: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout.splitlines()[-1])
    if not Path(told["file"]).resolve().is_relative_to(tree.resolve()):
        raise CommitError(f"{tree.name}: another dcfnet was imported, {told['file']}; is one on sys.path before it?")
    return list(told["seconds"])


@contextmanager
def worktrees(revisions: Sequence[str]) -> Iterator[list[Path]]:
    """The commits, checked out; gone afterwards, whatever happens. Raises CommitError for a name that is none."""
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
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise CommitError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def write_clip(clip: Path, footage: Path | None, frames: int, size: str) -> None:
    """Frames and the first box, by the present code, so that both commits see the same."""
    from dcfnet_evaluation.bench.footage import decode, rendered_sequences, resized, size_of
    from dcfnet_evaluation.datasets.otb import read_otb

    try:
        sequence = rendered_sequences(1, frames)[0] if footage is None else read_otb(footage)
        held = decode(resized(sequence, size_of(size)), frames)
    except (ValueError, OSError) as error:  # a size that is none, frames that cannot be read
        raise CommitError(str(error)) from error
    if len(held.frames) < WARM_UP + 12:
        raise CommitError(f"{held.name}: {len(held.frames)} frames; at least {WARM_UP + 12} are needed")
    np.savez(clip, frames=np.stack(list(held.frames)), box=held.boxes[0])


def settings(entries: Sequence[str]) -> dict[str, Any]:
    """Arguments of Tracker from NAME=VALUE; what reads as JSON is JSON."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise CommitError(f"{entry}: give an argument of Tracker as NAME=VALUE, such as preset=fast")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def order(pairs: int) -> list[str]:
    """Which commit is measured when: A B B A A B B A, so that a drift strikes both alike."""
    return list(islice(cycle("ABBA"), 2 * pairs))


def report(runs: Mapping[str, Sequence[Sequence[float]]]) -> None:
    from dcfnet_evaluation.bench.figures import Interval

    for name, of in (("p50", median), ("p99", lambda row: float(np.percentile(row, 99))), ("mean", np.mean)):
        a, b = ([float(of(row)) * 1000 for row in runs[letter]] for letter in "AB")  # type: ignore[operator]
        ratio = Interval.of([theirs / ours for ours, theirs in zip(a, b, strict=True)])
        bounds = f"{ratio.low:.3f} to {ratio.high:.3f}"
        print(
            f"{name}: A {median(a):.2f} ms, B {median(b):.2f} ms; B / A {ratio.median:.3f} ({bounds}, {len(a)} pairs)"
        )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("revisions", nargs=2, metavar="REV", help="commits, A and B, as git names them")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each commit")
    parser.add_argument("--frames", type=int, default=100, help="of the clip")
    parser.add_argument("--footage", type=Path, help="a sequence in OTB's layout; else a rendered clip")
    parser.add_argument("--size", default="640x360", help="of the frames, or native")
    parser.add_argument("--with", dest="both", action="append", default=[], metavar="NAME=VALUE", help="of Tracker")
    parser.add_argument("--with-a", action="append", default=[], metavar="NAME=VALUE", help="the same, of A alone")
    parser.add_argument("--with-b", action="append", default=[], metavar="NAME=VALUE", help="the same, of B alone")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    chosen = parse(arguments)
    options = {"A": settings([*chosen.both, *chosen.with_a]), "B": settings([*chosen.both, *chosen.with_b])}
    commits = [git("rev-parse", "--verify", f"{revision}^{{commit}}") for revision in chosen.revisions]
    runs: dict[str, list[list[float]]] = {"A": [], "B": []}
    with TemporaryDirectory() as folder, worktrees(commits) as trees:
        clip, places = Path(folder) / "clip.npz", dict(zip("AB", trees, strict=True))
        write_clip(clip, chosen.footage, chosen.frames, chosen.size)
        for letter in "AB":
            measured(places[letter], clip, options[letter])  # fills the file cache, and fails early
        for letter in order(max(chosen.pairs, 1)):
            runs[letter].append(measured(places[letter], clip, options[letter]))
    print(*(f"{letter}: {commit[:10]}" for letter, commit in zip("AB", commits, strict=True)))
    report(runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(Path(sys.argv[2]), json.loads(sys.argv[3]))))
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop cleans the worktrees up, too
        try:
            main(sys.argv[1:])
        except CommitError as error:
            sys.exit(f"compare_commits: {error}")
