"""What a data set's folder holds, found by listing it; a sequence is read when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, frame_number, read_lines, read_numbers


@dataclass(frozen=True)
class Listing:
    """found: by name, what opens the sequence (raises SequenceError). missing: names that belong to it, not on disk."""

    found: Mapping[str, Callable[[], AnnotatedSequence]]
    missing: tuple[str, ...] = ()

    def among(self, names: Sequence[str]) -> Listing:
        """The part that `names` lists, in their order; the case of their letters does not matter."""
        known = {name.casefold(): name for name in self.found} | {name: name for name in self.found}
        chosen = [known.get(name) or known.get(name.casefold()) for name in names]
        missing = tuple(name for name, there in zip(names, chosen, strict=True) if there is None)
        return Listing({name: self.found[name] for name in chosen if name is not None}, missing)


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder by name, hidden ones left out; none where it is no folder."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in inside if p.is_dir() and not p.name.startswith("."))


def files_like(folder: Path, *patterns: str) -> list[Path]:
    """Files in a folder whose names match, by name, hidden ones left out; none where there is no such folder."""
    return sorted(p for pattern in patterns for p in folder.glob(pattern) if not p.name.startswith("."))


def read_names(file: Path) -> list[str]:
    """Names of a list, one a line. Raises SequenceError naming a file that cannot be read."""
    return [line for line in read_lines(file) if line]


def find_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file of that name, in any case of letters, in one of the folders."""
    inside = (p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()))
    return next((p for p in inside if p.name.casefold() == name.casefold()), None)


def frames_between(files: Iterable[Path], first: int, last: int) -> tuple[Path, ...]:
    """The files whose names end in a number from `first` to `last`."""
    return tuple(file for file in files if (number := frame_number(file)) is not None and first <= number <= last)


def read_flags(file: Path, count: int) -> NDArray[np.float64]:
    """Numbers of a file, in lines or all in one, float64 (count,); zeros where there is no such file.

    Raises SequenceError where it holds another number of them, or something that is no number.
    """
    if not file.is_file():
        return np.zeros(count)
    flags = [value for n, text in enumerate(read_lines(file), start=1) for value in read_numbers(file, n, text)]
    if len(flags) != count:
        raise SequenceError(f"{file}: {len(flags)} numbers, not {count}")
    return np.array(flags)


def read_attributes(folders: Iterable[Path], name: str, order: tuple[str, ...]) -> tuple[str, ...]:
    """Attributes of a sequence, by the flags of NAME.txt in one of the folders; () where there is no such file.

    order: what the flags stand for. Raises SequenceError where there are not as many.
    """
    file = find_file(folders, f"{name}.txt")
    flags = read_flags(file, len(order)) if file else np.zeros(len(order))
    return tuple(attribute for attribute, flag in zip(order, flags, strict=True) if flag)
