"""Cuts the clips of a cache, in this process or in several. Complete clips are kept."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from dcfnet.errors import ConfigError, SinkError
from dcfnet.io.files import write_atomically
from dcfnet.result import Box
from dcfnet_evaluation.runs import follow_parent
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.footage.crop_manifest import (
    BOXES,
    MANIFEST,
    RECORD,
    Clip,
    CropSettings,
    Manifest,
    digest,
    measure,
    read_json,
)
from dcfnet_train.footage.images import Image
from dcfnet_train.footage.overlap import fingerprint, spread
from dcfnet_train.footage.videos import Video

COLUMNS = ("source_frame", "x", "y", "w", "h")
ClipCallback = Callable[[str, Clip], None]


def cut(image: Image, box: Box, settings: CropSettings) -> tuple[Image, Box]:
    """The part of the square around the target that is inside the frame, uint8 (h, w, 3), and the box in it.

    The crop has no padding, so patches see the same border as in the whole frame. A square with more than `longest` px
    is resized to `longest` px.
    """
    side = settings.around * max(box.size)
    (centre_x, centre_y), (height, width) = box.centre, image.shape[:2]
    left, right = _span(centre_x, side, width)
    top, bottom = _span(centre_y, side, height)
    crop, moved = image[top:bottom, left:right], Box(box.x - left, box.y - top, box.w, box.h)
    if side <= settings.longest:
        return crop, moved
    size = [max(round(length * settings.longest / side), 1) for length in (right - left, bottom - top)]
    scale_x, scale_y = size[0] / (right - left), size[1] / (bottom - top)
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, Box(moved.x * scale_x, moved.y * scale_y, moved.w * scale_x, moved.h * scale_y)


def _span(centre: float, side: float, length: int) -> tuple[int, int]:
    """First pixel and end of a side of the square, clipped to 0 .. length; at least one pixel."""
    first, end = int(np.floor(centre - side / 2)), int(np.ceil(centre + side / 2)) + 1
    low = min(max(first, 0), length - 1)
    return low, max(min(end, length), low + 1)


def cut_clip(video: Video, settings: CropSettings, folder: Path) -> Clip:
    """Writes the crops of the usable frames into `folder`, atomically; returns the record of the clip.

    Keeps a complete clip of the same footage. Skips unreadable frames.
    Raises SinkError if `folder` cannot be written. Raises SequenceError if no frame can be read.
    """
    source = _identity(video)
    existing = _complete_clip(folder, source)
    if existing:
        return existing
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    rows, prints, unreadable = _write_images(video, settings, partial)
    if not rows:
        raise SequenceError(f"{video.name}: none of its frames can be read: {unreadable[0]}")
    write_atomically(_table(rows), partial / BOXES)
    frames, size = measure(partial)
    clip = Clip(frames, size, digest(partial), source, tuple(unreadable), tuple(prints))
    write_atomically(json.dumps(asdict(clip)).encode(), partial / RECORD)
    try:
        partial.rename(folder)
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror})") from error
    return clip


def _identity(video: Video) -> str:
    """Identifies the footage of a clip. A change of the footage changes the result."""
    size = f"{len(video.frames)} {video.frames.size()}".encode()
    return hashlib.sha256(size + video.boxes.tobytes() + video.times.tobytes()).hexdigest()[:16]


def _complete_clip(folder: Path, source: str) -> Clip | None:
    """The clip in a folder if it comes from this footage and its files are unchanged, else None."""
    try:
        clip = Clip.from_mapping(read_json(folder / RECORD))
        return clip if clip.source == source and digest(folder) == clip.sha256 else None
    except (SequenceError, KeyError, TypeError):
        return None


def _write_images(
    video: Video, settings: CropSettings, folder: Path
) -> tuple[list[tuple[float, ...]], list[str], list[str]]:
    """Rows of `boxes.csv`, fingerprints of some frames, and messages for the unreadable frames."""
    usable = video.usable()
    sampled = set(usable[spread(len(usable))].tolist())
    rows: list[tuple[float, ...]] = []
    prints: list[str] = []
    unreadable: list[str] = []
    for index in usable.tolist():
        try:
            image, box = video.read(index)
        except SequenceError as error:
            unreadable.append(str(error))
            continue
        if index in sampled and (bits := fingerprint(image)) is not None:
            prints.append(bits.tobytes().hex())
        crop, moved = cut(image, box, settings)
        write_atomically(_encoded(crop, settings), folder / f"{len(rows) + 1:06d}.{settings.image}")
        rows.append((int(video.times[index]), *map(float, moved)))
    return rows, prints, unreadable


def _encoded(image: Image, settings: CropSettings) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.image == "jpg" else []
    success, content = cv2.imencode(f".{settings.image}", image, options)
    if not success:
        raise SinkError(f"OpenCV cannot write a {settings.image} of {image.shape[1]} x {image.shape[0]}")
    return content.tobytes()


def _table(rows: Sequence[tuple[float, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    return text.getvalue().encode()


def make_cache(
    videos: Sequence[Video],
    places: Sequence[str],
    settings: CropSettings,
    root: Path,
    workers: int = 0,
    done: ClipCallback = lambda name, clip: None,
) -> Manifest:
    """Writes the clips of all videos into `root`; returns the manifest. workers: processes; 0 uses this process.

    done(name, clip) is called for every complete clip. Raises ConfigError if `root` contains another cache or other
    files. Raises SequenceError for duplicate names and, after all other videos, for videos without a readable frame.
    Raises SinkError if a file cannot be written.
    """
    manifest = Manifest(tuple(places), settings, {})
    _claim(root, manifest, [video.name for video in videos])
    clips, broken = {}, []
    for name, result in _clips(videos, settings, root, workers):
        if isinstance(result, SequenceError):
            broken.append(str(result))
            continue
        clips[name] = result
        done(name, result)
    if broken:
        raise SequenceError("; ".join(broken))
    complete = Manifest(manifest.places, settings, {video.name: clips[video.name] for video in videos})
    complete.save(root)
    return complete


def _claim(root: Path, manifest: Manifest, names: Sequence[str]) -> None:
    """Writes the manifest of an empty cache, or checks that the existing cache has the same settings and places."""
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise SequenceError(f"several videos are named {', '.join(duplicates)}; cut them into separate caches")
    if (root / MANIFEST).exists():
        differences = Manifest.load(root).differences(manifest)
        if differences:
            raise ConfigError(f"{root} contains another cache: {'; '.join(differences)}; choose another --output")
    elif root.is_dir() and any(root.iterdir()):
        raise ConfigError(f"{root}: not empty, but without {MANIFEST}; choose another --output")
    manifest.save(root)


def _clips(
    videos: Sequence[Video], settings: CropSettings, root: Path, workers: int
) -> Iterator[tuple[str, Clip | SequenceError]]:
    """The name of each video with its clip or its error, in the order of completion."""
    if not workers:
        yield from ((video.name, _clip_or_error(video, settings, root / video.name)) for video in videos)
        return
    # spawn, not fork: a fork may hang if libraries have started threads
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=follow_parent)
    try:
        submitted = {pool.submit(_clip_or_error, video, settings, root / video.name): video.name for video in videos}
        yield from ((submitted[future], future.result()) for future in as_completed(submitted))
    finally:
        pool.shutdown(cancel_futures=True)


def _clip_or_error(video: Video, settings: CropSettings, folder: Path) -> Clip | SequenceError:
    try:
        return cut_clip(video, settings, folder)
    except SequenceError as error:  # one bad video must not stop the others
        return error
