"""Writes sequences in OTB's layout: NAME/img/00000001.jpg, ... and NAME/groundtruth_rect.txt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dcfnet.config.settings import Rule, Settings, whole
from dcfnet.errors import ConfigError, SinkError, SourceError
from dcfnet.io.decoding.images import decode_image
from dcfnet.io.files import read_json, write_atomically
from dcfnet_evaluation.sequences import Boxes
from numpy.typing import NDArray

from dcfnet_train.footage.images import Image
from dcfnet_train.training_set.annotation import Read, read_track
from dcfnet_train.training_set.manifest import Entry
from dcfnet_train.training_set.repository import Repository

FORMAT = "dcfnet-footage-1"
RECORD, TRUTH = "source.json", "groundtruth_rect.txt"
ABSENT = "NaN,NaN,NaN,NaN"
JPEG = b"\xff\xd8\xff"  # first bytes of a JPEG file


@dataclass(frozen=True)
class FootageSettings(Settings):
    """Settings of the written frames. Raises ConfigError that lists every value out of range."""

    longest: int = 640  # px, long side of a frame; larger frames are shrunk, none is enlarged
    quality: int = 92  # of JPEG, 1 to 100; a JPEG that needs no shrinking is copied byte for byte
    smallest: int = 8  # px: a box whose area in the written frame is below smallest^2 counts as absent

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {"longest": whole(32, 8192), "quality": whole(1, 100), "smallest": whole(1, 1000)}


@dataclass(frozen=True)
class Written:
    """Counts of a written sequence. boxes: frames with a box. size: (width, height) of the first frame, px."""

    frames: int
    boxes: int
    size: tuple[int, int]


def write_sequence(entry: Entry, repository: Repository, settings: FootageSettings, output: Path) -> Written:
    """Writes the folder OUTPUT/NAME, completely or not at all. A folder that is already complete stays unchanged.

    Frames before the first box and after the last box are left out. Raises SourceError if the content is unreadable
    or differs from the manifest. Raises ConfigError if the folder exists with other content, and SinkError if it
    cannot be written.
    """
    folder, partial = output / entry.name, output / f".{entry.name}.partial"
    wanted = _record(entry, settings)
    if folder.exists():
        return _finished(folder, wanted)
    shutil.rmtree(partial, ignore_errors=True)
    blobs = _checked(entry, repository)

    def read(path: str) -> bytes:
        return repository.read(blobs[path])

    written = _write_frames(entry, read, settings, partial)
    values = {**wanted, "frames": written.frames, "boxes": written.boxes, "size": written.size}
    write_atomically(json.dumps(values, indent=1).encode(), partial / RECORD)
    try:
        partial.rename(folder)
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror})") from error
    return written


def shrink(image: Image, boxes: Boxes, longest: int) -> tuple[Image, Boxes]:
    """The image with a long side of at most `longest` px, uint8 (h, w, 3), and the boxes (N, 4) in it, 0-based px.

    Pixel centres are at integers, so a point p moves to (p + 0.5) s - 0.5. A box covers the pixels x to x + w - 1.
    Its centre x + (w - 1) / 2 follows this rule if x, y, w and h are multiplied by s.
    """
    height, width = image.shape[:2]
    scale = longest / max(width, height)
    if scale >= 1:
        return image, boxes
    size = [max(round(length * scale), 1) for length in (width, height)]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    across, down = size[0] / width, size[1] / height
    return small, boxes * (across, down, across, down)


def clip(box: Boxes, width: int, height: int) -> Boxes:
    """Boxes (N, 4), float64, cut to a frame of width x height px. A box outside the frame gets a side of 0."""
    low = np.clip(box[:, :2], 0, (width, height))
    high = np.clip(box[:, :2] + box[:, 2:], 0, (width, height))
    return np.concatenate([low, high - low], axis=1)


def _checked(entry: Entry, repository: Repository) -> Mapping[str, str]:
    """Git id of each path. Raises SourceError if a file is missing or the hash differs from the manifest."""
    commit = repository.commit(entry.commit)
    blobs = repository.blobs(commit)
    place = f"{entry.repository} at {commit}"
    try:
        found = entry.identity(blobs)
    except KeyError as error:
        raise SourceError(f"{entry.name}: {place} has no {error.args[0]}; fetch commit {entry.commit}") from error
    if found != entry.sha256:
        raise SourceError(
            f"{entry.name}: {place} has other content (sha256 {found}, not {entry.sha256}); fetch commit {entry.commit}"
        )
    return blobs


def _write_frames(entry: Entry, read: Read, settings: FootageSettings, folder: Path) -> Written:
    rows: list[str] = []
    size = (0, 0)
    for path, box in zip(entry.frame_paths(), read_track(entry, read), strict=True):
        if not rows and np.isnan(box).any():
            continue
        jpeg, found, moved = _frame(path, read(path), box, settings)
        row = _row(moved, settings)
        if not rows and row == ABSENT:
            continue
        size = size if rows else found
        rows.append(row)
        write_atomically(jpeg, _image(folder, len(rows)))
    if not rows:
        raise SourceError(
            f"{entry.name}: no box has an area of at least {settings.smallest} x {settings.smallest} px in its frame"
        )
    while rows[-1] == ABSENT:
        _image(folder, len(rows)).unlink()
        rows.pop()
    write_atomically("".join(f"{row}\n" for row in rows).encode(), folder / TRUTH)
    return Written(len(rows), sum(row != ABSENT for row in rows), size)


def _image(folder: Path, number: int) -> Path:
    return folder / "img" / f"{number:08d}.jpg"


def _frame(
    path: str, content: bytes, box: NDArray[np.float64], settings: FootageSettings
) -> tuple[bytes, tuple[int, int], NDArray[np.float64]]:
    """The JPEG to write, its (width, height) in px, and the box (4,), 0-based px, cut to the frame."""
    image = decode_image(content, path)
    small, moved = shrink(image, box[None], settings.longest)
    height, width = small.shape[:2]
    copied = content.startswith(JPEG) and (height, width) == image.shape[:2]
    jpeg = content if copied else _encoded(small, settings)
    return jpeg, (width, height), clip(moved, width, height)[0]


def _encoded(image: Image, settings: FootageSettings) -> bytes:
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    if not done:
        raise SinkError(f"OpenCV cannot write a JPEG of {image.shape[1]} x {image.shape[0]} px")
    return content.tobytes()


def _row(box: NDArray[np.float64], settings: FootageSettings) -> str:
    """Row of the annotation file, 1-based px, for a box (4,), 0-based px. A NaN or too small box gives ABSENT."""
    if not box[2] * box[3] >= settings.smallest**2:  # or NaN
        return ABSENT
    return ",".join(f"{value:.2f}" for value in (*(box[:2] + 1), *box[2:]))


def _record(entry: Entry, settings: FootageSettings) -> dict[str, Any]:
    """Entry and settings of a sequence, ready for JSON. A rerun compares them."""
    made = {**entry.to_mapping(), "at": list(entry.at)}
    return {"format": FORMAT, "entry": made, "settings": settings.to_mapping()}


def _finished(folder: Path, wanted: Mapping[str, Any]) -> Written:
    """Counts of a finished sequence. Raises ConfigError if the folder is incomplete or differs from `wanted`."""
    remedy = "remove it, or choose another --output"
    try:
        found = read_json(folder / RECORD)
        written = Written(found["frames"], found["boxes"], (found["size"][0], found["size"][1]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"{folder}: not a finished sequence ({error}); {remedy}") from error
    differing = [
        f"{key} is {found.get(part, {}).get(key)!r}, not {value!r}"
        for part in ("entry", "settings")
        for key, value in wanted[part].items()
        if found.get(part, {}).get(key) != value
    ]
    if differing or found.get("format") != FORMAT:
        raise ConfigError(f"{folder}: {'; '.join(differing) or f'its format is not {FORMAT}'}; {remedy}")
    there = sum(1 for _ in folder.glob("img/*.jpg"))
    if there != written.frames:
        raise ConfigError(f"{folder}: holds {there} frames of {written.frames}; {remedy}")
    return written
