"""A small git repository of annotated frames, rendered for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_train.training_set.layout import FootageSettings, write_sequence
from dcfnet_train.training_set.manifest import Entry
from dcfnet_train.training_set.repository import Repository, find_repository

NAME = "someone/tracker"
LENGTH, WIDTH, HEIGHT = 6, 160, 120
BOX = (40, 30, 24, 16)  # of frame 1, 0-based; it moves by 3 px to the right and 2 px down a frame


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def box(frame: int) -> tuple[int, int, int, int]:
    """The true box of a frame, counted from 1; 0-based pixels."""
    x, y, w, h = BOX
    return x + 3 * (frame - 1), y + 2 * (frame - 1), w, h


def fill(image: np.ndarray, where: tuple[int, int, int, int], value: int) -> np.ndarray:
    x, y, w, h = where
    image[y : y + h, x : x + w] = value
    return image


def annotations() -> dict[str, str]:
    """The same boxes in every format that has rows."""
    boxes = [box(frame) for frame in range(1, LENGTH + 1)]
    rows = {
        "xywh0": [f"{x},{y},{w},{h}" for x, y, w, h in boxes],
        "xywh1": [f"{x + 1}\t{y + 1}\t{w}\t{h}" for x, y, w, h in boxes],
        "corners": [f"{x},{y + h - 1},{x},{y},{x + w - 1},{y},{x + w - 1},{y + h - 1}.0" for x, y, w, h in boxes],
    }
    rows["gaps"] = ["NaN,NaN,NaN,NaN", *rows["xywh0"][1:3], "NaN,NaN,NaN,NaN", rows["xywh0"][4], "3,3,2,2"]
    rows["padded"] = ["1,1,50,50"] * 2 + rows["xywh0"]
    return {name: "\n".join(lines) + "\n" for name, lines in rows.items()}


def make_repositories(root: Path) -> Path:
    """Makes a bare repository in root/clones, and returns that folder. root/work is the clone with a work tree.

    Its frames show a bright target on noise, with annotations in every format.
    """
    work = root / "work"
    for part in ("a seq", "mask", "labels"):
        (work / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(1, LENGTH + 1):
        picture = fill(rng.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8), box(frame), 250)
        cv2.imwrite(str(work / f"a seq/img{frame:04d}.jpg"), picture)
        cv2.imwrite(str(work / f"a seq/{frame:04d}.png"), picture)
        x, y, w, _ = box(frame)
        mask = fill(fill(np.zeros((HEIGHT, WIDTH), np.uint8), box(frame), 255), (x + w, y + 5, 20, 2), 255)
        cv2.imwrite(str(work / f"mask/{frame - 1:05d}.png"), mask)
        labels = fill(fill(np.zeros((HEIGHT, WIDTH), np.uint8), (x - 6, y, 6, 9), 50), box(frame), 255)
        cv2.imwrite(str(work / f"labels/gt{frame:06d}.png"), fill(labels, (100, 2, 50, 20), 255))
    for name, text in annotations().items():
        (work / f"{name}.txt").write_text(text)
    git(work, "init", "--quiet")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "frames")
    bare = root / "clones" / NAME.replace("/", "+") / "repo"
    git(root, "clone", "--quiet", "--bare", str(work), str(bare))
    return root / "clones"


def entry(repositories: Path, **changes: object) -> Entry:
    """An entry of that repository, with its true hash where none is given."""
    folder = find_repository(repositories, NAME)
    values = {
        "name": "one",
        "repository": NAME,
        "commit": git(folder, "rev-parse", "HEAD").strip(),
        "frames": "a seq/img%04d.jpg",
        "boxes": "xywh0.txt",
        "format": "xywh0",
        "last": LENGTH,
        "sha256": "0" * 64,
        **changes,
    }
    made = Entry.from_mapping(values)
    if "sha256" in changes:
        return made
    with Repository(folder) as repository:
        return made.replace(sha256=made.identity(repository.blobs("HEAD")))


def write(repositories: Path, one: Entry, output: Path, **settings: int) -> AnnotatedSequence:
    with Repository(find_repository(repositories, NAME)) as repository:
        write_sequence(one, repository, FootageSettings(**settings), output)
    return read_otb(output / one.name)
