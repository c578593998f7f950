"""The manifest of the training footage. It gives the place and the content hash of each sequence."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcfnet.config.settings import Rule, Settings, one_of, whole
from dcfnet.errors import ConfigError
from dcfnet.io.files import read_limited

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).with_name("footage.toml")
FORMATS = ("corners", "xywh0", "xywh1", "mask", "labels")
MASKS = ("mask", "labels")  # one file a frame; the other formats have one row a frame
NUMBER = re.compile(r"%0\d+d")
LAST = 10**8  # frames are numbered with 8 digits


@dataclass(frozen=True)
class Entry(Settings):
    """One sequence. Raises ConfigError that lists every value out of range.

    frames: path pattern in the repository. A field such as %05d represents the frame number, from `first` to `last`.
    boxes: path of the annotation. The formats "mask" and "labels" need a pattern like `frames`.
    format: "corners" is a polygon of four corners, 0-based px. "xywh0" and "xywh1" are x, y, w, h, 0-based and
    1-based px. "mask" is an image with values above 127 on the target. "labels" is a CDnet image: 255 means motion.
    row: 1-based line of the annotation that belongs to the first frame.
    at: x, y, 0-based px: a point of the target in the first frame. Only "labels" uses it.
    thin: px, odd. Parts of a mask that are thinner do not count for its box, for example the lines of a kite.
    sha256: result of `identity`.
    """

    name: str
    repository: str  # OWNER/NAME
    commit: str
    frames: str
    boxes: str
    format: str
    last: int
    sha256: str
    first: int = 1
    row: int = 1
    at: tuple[int, ...] = ()
    thin: int = 1

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        pattern = (lambda v: isinstance(v, str) and len(NUMBER.findall(v)) == 1), "a path with one number such as %05d"
        return {
            "name": _text(r"[A-Za-z0-9][\w.-]*", "letters, digits and ._- after a letter or digit"),
            "repository": _text(r"\w[\w.-]*/\w[\w.-]*", "OWNER/NAME"),
            "commit": _text(r"[0-9a-f]{40}", "40 hexadecimal digits"),
            "frames": pattern,
            "boxes": _text(r".+", "a path"),
            "format": one_of(*FORMATS),
            "first": whole(0, LAST),
            "last": whole(0, LAST),
            "row": whole(1, LAST),
            "at": (
                lambda v: len(v) in (0, 2) and all(isinstance(n, int) and n >= 0 for n in v),
                "two pixel numbers, x and y",
            ),
            "thin": whole(1, 101, odd=True),
            "sha256": _text(r"[0-9a-f]{64}", "64 hexadecimal digits"),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last < self.first:
            raise ConfigError(f"first={self.first}, last={self.last}: last must not be below first")
        if self.format in MASKS and len(NUMBER.findall(self.boxes)) != 1:
            raise ConfigError(
                f"boxes={self.boxes!r}: must be a path with one number such as %05d in the format {self.format}"
            )
        if (self.format == "labels") != bool(self.at):
            raise ConfigError(f"at={self.at!r}: must be x, y in the format labels, and absent in the others")

    def frame_paths(self) -> list[str]:
        """Paths of all frames in the repository, in order."""
        return self._numbered(self.frames)

    def box_paths(self) -> list[str]:
        """Paths of the annotation in the repository: one file, or one file per frame."""
        return self._numbered(self.boxes) if self.format in MASKS else [self.boxes]

    def identity(self, blobs: Mapping[str, str]) -> str:
        """SHA-256, 64 hexadecimal digits, over the git ids of all frames and then the annotation, one id per line.

        blobs: git id of each path, as `git ls-tree` prints it. Raises KeyError for a missing path.
        """
        ids = [blobs[path] for path in (*self.frame_paths(), *self.box_paths())]
        return hashlib.sha256("".join(f"{blob}\n" for blob in ids).encode()).hexdigest()

    def _numbered(self, pattern: str) -> list[str]:
        field = NUMBER.search(pattern)
        assert field is not None  # the rules of an entry require it
        before, after = pattern[: field.start()], pattern[field.end() :]
        return [before + field[0] % number + after for number in range(self.first, self.last + 1)]


def load_manifest(file: Path) -> list[Entry]:
    """Sequences of a manifest, in file order.

    Each table [[source]] has a list `sequences`. A sequence inherits the keys of its table. The text "{folder}" in a
    path stands for the key `folder` of the sequence. Raises ConfigError that lists every fault of the file.
    """
    entries, wrong = [], []
    for values in _tables(file):
        try:
            entries.append(Entry.from_mapping(_filled(values)))
        except (ConfigError, TypeError) as error:
            wrong.append(f"{values.get('name', 'a sequence without a name')}: {error}")
    names = [entry.name for entry in entries]
    wrong += [f"{name}: named twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if wrong:
        raise ConfigError(f"{file}: {'; '.join(wrong)}")
    return entries


def _tables(file: Path) -> list[dict[str, Any]]:
    """Keys and values of each sequence, inherited ones included. Raises ConfigError if the file is not a manifest."""
    try:
        sources = tomllib.loads(read_limited(file).decode())["source"]
        return [
            {key: value for key, value in source.items() if key != "sequences"} | own
            for source in sources
            for own in source["sequences"]
        ]
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); give a manifest such as {SHIPPED.name}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{file}: not a manifest ({error}); {SHIPPED.name} is an example") from error


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    folder = str(values.get("folder", ""))
    filled = {key: value for key, value in values.items() if key != "folder"}
    paths = {key: str(filled[key]).replace("{folder}", folder) for key in ("frames", "boxes") if key in filled}
    return filled | paths | {"at": tuple(filled.get("at", ()))}


def _text(form: str, rule: str) -> Rule:
    return (lambda v: isinstance(v, str) and re.fullmatch(form, v, re.ASCII) is not None), rule
