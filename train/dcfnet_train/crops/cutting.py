"""Cutting the clips of a cache: one after another, or in processes; what is finished is kept."""

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
from dcfnet.geometry import Box
from dcfnet.sinks import write_whole
from dcfnet_evaluation.runs import follow_parent
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.crops.manifest import (
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
from dcfnet_train.images import Image
from dcfnet_train.overlap import fingerprint, spread
from dcfnet_train.videos import Video

COLUMNS = ("source_frame", "x", "y", "w", "h")
Told = Callable[[str, Clip], None]


def cut(image: Image, box: Box, settings: CropSettings) -> tuple[Image, Box]:
    """The part of the square around a target that lies in the picture, uint8 (h, w, 3), and the box in it.

    Nothing stands for what is outside: patches see the same border there as in the whole frame. A square of more than
    `longest` px is shrunk to it.
    """
    side = settings.around * max(box.size)
    (centre_x, centre_y), (height, width) = box.centre, image.shape[:2]
    left, right = _span(centre_x, side, width)
    top, bottom = _span(centre_y, side, height)
    picture, moved = image[top:bottom, left:right], Box(box.x - left, box.y - top, box.w, box.h)
    if side <= settings.longest:
        return picture, moved
    size = [max(round(length * settings.longest / side), 1) for length in (right - left, bottom - top)]
    across, down = size[0] / (right - left), size[1] / (bottom - top)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, Box(moved.x * across, moved.y * down, moved.w * across, moved.h * down)


def _span(centre: float, side: float, length: int) -> tuple[int, int]:
    """First pixel and the one after the last of a square's side, at least one of them in 0 .. length - 1."""
    first, after = int(np.floor(centre - side / 2)), int(np.ceil(centre + side / 2)) + 1
    low = min(max(first, 0), length - 1)
    return low, max(min(after, length), low + 1)


def cut_clip(video: Video, settings: CropSettings, folder: Path) -> Clip:
    """Writes the crops of a video's usable frames into `folder`, all of them or nothing; returns what is there.

    A clip that is there, cut from the same footage and whole, is kept. Frames that cannot be read are left out.
    Raises SinkError for a place that cannot be written, and SequenceError where no frame can be read.
    """
    source = _identity(video)
    kept = _finished(folder, source)
    if kept:
        return kept
    partial = folder.with_name(folder.name + ".partial")
    for place in (partial, folder):
        shutil.rmtree(place, ignore_errors=True)
    rows, prints, unreadable = _write_images(video, settings, partial)
    if not rows:
        raise SequenceError(f"{video.name}: none of its frames can be read: {unreadable[0]}")
    write_whole(_table(rows), partial / BOXES)
    frames, size = measure(partial)
    clip = Clip(frames, size, digest(partial), source, tuple(unreadable), tuple(prints))
    write_whole(json.dumps(asdict(clip)).encode(), partial / RECORD)
    try:
        partial.rename(folder)
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror})") from error
    return clip


def _identity(video: Video) -> str:
    """Tells the footage of one clip from another's, and from what it was before a change."""
    told = f"{len(video.frames)} {video.frames.size()}".encode()
    return hashlib.sha256(told + video.boxes.tobytes() + video.times.tobytes()).hexdigest()[:16]


def _finished(folder: Path, source: str) -> Clip | None:
    """The clip in a folder, where it is the one of that footage and all that was written is still there."""
    try:
        clip = Clip.from_mapping(read_json(folder / RECORD))
        return clip if clip.source == source and digest(folder) == clip.sha256 else None
    except (SequenceError, KeyError, TypeError):
        return None


def _write_images(
    video: Video, settings: CropSettings, folder: Path
) -> tuple[list[tuple[float, ...]], list[str], list[str]]:
    """Rows of the table of boxes, fingerprints of some frames, and the frames that cannot be read."""
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
        write_whole(_encoded(crop, settings), folder / f"{len(rows) + 1:06d}.{settings.image}")
        rows.append((int(video.times[index]), *map(float, moved)))
    return rows, prints, unreadable


def _encoded(image: Image, settings: CropSettings) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.image == "jpg" else []
    done, content = cv2.imencode(f".{settings.image}", image, options)
    if not done:
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
    done: Told = lambda name, clip: None,
) -> Manifest:
    """Cuts the clips of all videos into `root`, in processes or, with 0 workers, in this one; returns the manifest.

    done(name, clip) is called for every clip that is there. Raises ConfigError where `root` is a cache of other footage
    or settings, SequenceError for names that are given twice and for videos of which nothing can be read, once all
    others are cut, and SinkError for a place that cannot be written.
    """
    wanted = Manifest(tuple(places), settings, {})
    _begin(wanted, root, [video.name for video in videos])
    clips, broken = {}, []
    for name, found in _clips(videos, settings, root, workers):
        if isinstance(found, SequenceError):
            broken.append(str(found))
            continue
        clips[name] = found
        done(name, found)
    if broken:
        raise SequenceError("; ".join(broken))
    finished = Manifest(wanted.places, settings, {video.name: clips[video.name] for video in videos})
    finished.save(root)
    return finished


def _begin(wanted: Manifest, root: Path, names: Sequence[str]) -> None:
    """Claims the folder for this cache, or goes on with it."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SequenceError(f"two videos are named {', '.join(twice)}; cut them into caches of their own")
    if (root / MANIFEST).exists():
        differing = Manifest.load(root).differences(wanted)
        if differing:
            raise ConfigError(f"{root} is another cache: {'; '.join(differing)}; choose another --output")
    elif root.is_dir() and any(root.iterdir()):
        raise ConfigError(f"{root}: holds other things, and no {MANIFEST}; choose another --output")
    wanted.save(root)


def _clips(
    videos: Sequence[Video], settings: CropSettings, root: Path, workers: int
) -> Iterator[tuple[str, Clip | SequenceError]]:
    """Every video's name with its clip, or with why there is none, in the order in which they are finished."""
    if not workers:
        yield from ((video.name, _cut_or_told(video, settings, root / video.name)) for video in videos)
        return
    # spawned, not forked: a fork of a process whose libraries hold threads may hang
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=follow_parent)
    try:
        submitted = {pool.submit(_cut_or_told, video, settings, root / video.name): video.name for video in videos}
        yield from ((submitted[future], future.result()) for future in as_completed(submitted))
    finally:
        pool.shutdown(cancel_futures=True)


def _cut_or_told(video: Video, settings: CropSettings, folder: Path) -> Clip | SequenceError:
    try:
        return cut_clip(video, settings, folder)
    except SequenceError as error:  # of one video, which must not cost the others
        return error
