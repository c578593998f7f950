"""Which image files of a folder are the sequence, and their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from dcfnet.errors import SourceError
from dcfnet.io.decoding.images import IMAGE_SUFFIXES

NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
FLOAT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
MOST_EXTRAS = 3  # single files beside a series that may be ignored, for example a cover
LEAST_SERIES = 3  # files of a series that stands out among single files

Key = tuple[tuple[int, Decimal, str], ...]


@dataclass(frozen=True)
class ImageSeries:
    """The files of one sequence in order, and files beside it that do not belong to it."""

    files: tuple[Path, ...]
    extras: tuple[Path, ...] = ()


def image_files(folder: Path) -> tuple[Path, ...]:
    """All images of a folder in order, without hidden files, for example "._1.jpg".

    9.jpg is before 10.jpg, and 0.05.jpg is before 0.1.jpg.
    """
    images = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    return in_order([p for p in images if not p.name.startswith(".")])


def image_series(folder: Path) -> ImageSeries:
    """The one series of images in a folder. Raises SourceError if there is none, or if names are of several series."""
    files = image_files(folder)
    if not files:
        raise SourceError(f"{folder}: no images in this folder{_advice(folder)}")
    return one_series(files, folder)


def one_series(files: Sequence[Path], place: Path) -> ImageSeries:
    """The one series among files in order. A few single files beside a long series are its extras.

    Two names are of one series if they differ only in their numbers. Raises SourceError that names the files otherwise.
    """
    groups = _merge_suffixes(_by_template(files))
    series = max(groups, key=len)
    extras = [file for group in groups if group is not series for file in group]
    stands_out = len(series) >= max(LEAST_SERIES, len(extras) + 1)
    if extras and (len(extras) > MOST_EXTRAS or any(len(g) > 1 for g in groups if g is not series) or not stands_out):
        listed = "; ".join(_listed(group) for group in groups[:4]) + "; ..." * (len(groups) > 4)
        raise SourceError(
            f"{place}: the images have names of {len(groups)} kinds ({listed}); a sequence needs one kind; "
            f"move the others, or give a pattern, for example {place / _pattern(series[0])}"
        )
    keys = sort_keys([file.stem for file in series])
    for (first, key), (second, following) in pairwise(zip(series, keys, strict=True)):
        if key == following:
            raise SourceError(f"{place}: {first.name} and {second.name} have the same number; keep one of them")
    return ImageSeries(tuple(series), tuple(extras))


def matching_files(pattern: str) -> tuple[Path, ...]:
    """The files of a pattern in order: frames/%04d.png (numbers of four digits or more) or frames/*.png.

    Raises SourceError if no file matches.
    """
    path = Path(pattern)
    if not path.parent.is_dir():
        raise SourceError(f"{pattern}: the folder {path.parent} does not exist")
    expression = re.compile(_expression(path.name))
    files = [p for p in path.parent.iterdir() if expression.fullmatch(p.name) and p.is_file()]
    if not files:
        found = ", ".join(file.name for file in image_files(path.parent)[:3]) or "no images"
        raise SourceError(f"{pattern}: no file matches; the folder contains {found}")
    return in_order(files)


def in_order(files: Iterable[Path]) -> tuple[Path, ...]:
    """Files by the numbers in their names. Decimals are ordered by value, for example time stamps in seconds."""
    given = sorted(files)
    keys = sort_keys([file.stem for file in given])
    order = sorted(range(len(given)), key=lambda index: (keys[index], given[index].suffix))
    return tuple(given[index] for index in order)


def sort_keys(stems: Sequence[str]) -> list[Key]:
    """Keys that sort names by their numbers. "1.5" is a decimal, unless the names show that it is two counters."""
    if stems and all(FLOAT.fullmatch(stem) for stem in stems) and not are_counters(stems):
        return [((0, Decimal(stem), ""),) for stem in stems]
    number = re.compile(r"(\d+)") if are_counters(stems) else NUMBER
    return [
        tuple(
            (0, Decimal(part), "") if number.fullmatch(part) else (1, Decimal(0), part) for part in number.split(stem)
        )
        for stem in stems
    ]


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key that puts 9 before 10 in a name."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def are_counters(stems: Sequence[str]) -> bool:
    """Whether 1.9 is followed by 1.10: digits after points differ in number, and one of them ends with a zero.

    Programs that write decimals of different lengths leave out zeros at the end.
    """
    fractions = [part.split(".")[1] for stem in stems for part in NUMBER.findall(stem) if "." in part]
    return len({len(part) for part in fractions}) > 1 and any(len(p) > 1 and p.endswith("0") for p in fractions)


def _by_template(files: Sequence[Path]) -> list[list[Path]]:
    """Files by their names with "#" for each number."""
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file in files:
        template = "#" if FLOAT.fullmatch(file.stem) else NUMBER.sub("#", file.stem)
        suffix = {".jpeg": ".jpg", ".tiff": ".tif"}.get(file.suffix.lower(), file.suffix.lower())
        groups[template, suffix].append(file)
    return list(groups.values())


def _merge_suffixes(groups: list[list[Path]]) -> list[list[Path]]:
    """One group if the groups differ only in their suffix and no number occurs twice, as after a change of format."""
    everything = in_order(file for group in groups for file in group)
    stems = [file.stem for file in everything]
    if len({NUMBER.sub("#", stem) for stem in stems}) == 1 and len(set(sort_keys(stems))) == len(stems):
        return [list(everything)]
    return groups


def _expression(name: str) -> str:
    """The regular expression of a pattern with %d, %04d, * and ?."""
    parts = re.split(r"(%0?\d*d|%%|\*|\?)", name)
    known = {"*": ".*", "?": ".", "%%": "%"}
    return "".join(known.get(part) or _digits(part) for part in parts)


def _digits(part: str) -> str:
    digits = re.fullmatch(r"%0?(\d*)d", part)
    return rf"\d{{{int(digits[1] or 1)},}}" if digits else re.escape(part)


def _pattern(file: Path) -> str:
    """A pattern for the names of a series, for a message."""
    return NUMBER.sub("*", file.stem) + file.suffix


def _listed(group: Sequence[Path]) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name} ... {group[-1].name}: {len(group)} files"


def _advice(folder: Path) -> str:
    """What else is in a folder without images."""
    inner = next((p for p in sorted(folder.iterdir()) if p.is_dir() and image_files(p)), None)
    if inner is not None:
        return f"; its subfolder {inner.name} has images: give {inner}"
    others = sorted(p.name for p in folder.iterdir() if p.is_file())[:3]
    return f" (it contains {', '.join(others) or 'no files'}); the suffixes of images are {', '.join(IMAGE_SUFFIXES)}"
