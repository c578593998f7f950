"""Lists the sequences of a dataset folder without reading them, and reads files that several layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, frame_number, read_lines, read_numbers


@dataclass(frozen=True)
class Listing:
    """openers: name -> function that opens the sequence (raises SequenceError). missing: names that are not on disk."""

    openers: Mapping[str, Callable[[], AnnotatedSequence]]
    missing: tuple[str, ...] = ()

    def select(self, names: Sequence[str]) -> Listing:
        """The sequences in `names`, in their order. Upper and lower case are equal."""
        known = {name.casefold(): name for name in self.openers} | {name: name for name in self.openers}
        chosen = [known.get(name) or known.get(name.casefold()) for name in names]
        missing = tuple(name for name, match in zip(names, chosen, strict=True) if match is None)
        return Listing({name: self.openers[name] for name in chosen if name is not None}, missing)


def subfolders(folder: Path) -> list[Path]:
    """Subfolders in order of name, without hidden ones; empty if `folder` does not exist."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in entries if p.is_dir() and not p.name.startswith("."))


def files_like(folder: Path, *patterns: str) -> list[Path]:
    """Files that match a pattern, in order of name, without hidden ones; empty if the folder does not exist."""
    return sorted(p for pattern in patterns for p in folder.glob(pattern) if not p.name.startswith("."))


def read_names(file: Path) -> list[str]:
    """Names of a list file, one per line. Raises SequenceError if the file cannot be read."""
    return [line for line in read_lines(file) if line]


def find_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file with this name in one of the folders; upper and lower case are equal. None if there is none."""
    entries = (p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()))
    return next((p for p in entries if p.name.casefold() == name.casefold()), None)


def frames_between(files: Iterable[Path], first: int, last: int) -> tuple[Path, ...]:
    """The files whose names end with a number from `first` to `last`, inclusive."""
    return tuple(file for file in files if (number := frame_number(file)) is not None and first <= number <= last)


def read_flags(file: Path, count: int) -> NDArray[np.float64]:
    """Numbers of a file, in one or several lines, float64 (count,); zeros if the file does not exist.

    Raises SequenceError if there are not `count` numbers, or if a value is not a number.
    """
    if not file.is_file():
        return np.zeros(count)
    flags = [value for n, text in enumerate(read_lines(file), start=1) for value in read_numbers(file, n, text)]
    if len(flags) != count:
        raise SequenceError(f"{file}: has {len(flags)} numbers; must have {count}; correct the file")
    return np.array(flags)


def read_attributes(folders: Iterable[Path], name: str, order: tuple[str, ...]) -> tuple[str, ...]:
    """Attributes of a sequence, from the flags in NAME.txt in one of the folders; () if there is no such file.

    order: the attribute of each flag. Raises SequenceError if the number of flags differs.
    """
    file = find_file(folders, f"{name}.txt")
    flags = read_flags(file, len(order)) if file else np.zeros(len(order))
    return tuple(attribute for attribute, flag in zip(order, flags, strict=True) if flag)
