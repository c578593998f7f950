"""Annotated footage for pairs: whole sequences in the layout of OTB, and clips of target-centred crops."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files
from dcfnet.result import Box
from dcfnet.tracking.geometry import LARGEST_NUMBER
from dcfnet_evaluation.datasets import LAYOUTS, Dataset, open_dataset
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.sequences import AnnotatedSequence, Frames, ImageFrames, SequenceError
from numpy.typing import NDArray

from dcfnet_train.footage.crop_manifest import BOXES, MANIFEST, Clip, CropSettings, Manifest, check_clips
from dcfnet_train.footage.images import Image

BLACK = 24  # of 255: JPEG leaves a padded border at most this bright
MIN_SIDE = 4.0  # px: a smaller target has no texture for training


@dataclass(frozen=True)
class Video:
    """Frames of one target with its boxes.

    frames: read by index. boxes: float64 (N, 4), x, y, w, h, 0-based pixels of each frame.
    times: int (N,), frame numbers in the original footage, increasing; they show gaps.
    centred: the frames are crops around the target. A tracker that never moves is perfect on them.
    around: smallest side of the crops before clipping to the frame / longer side of the target.
    bordered: the crops have black padding outside the original frame.
    prints: for crops of a cache, fingerprints of whole frames, uint8 (N, 16); else None.
    """

    name: str
    frames: Frames
    boxes: NDArray[np.float64]
    times: NDArray[np.int64]
    centred: bool = False
    around: float = math.inf
    bordered: bool = False
    prints: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, sequence: AnnotatedSequence) -> Video:
        """A sequence as a training video."""
        return cls(sequence.name, sequence.frames, sequence.boxes, np.arange(len(sequence)))

    def sequence(self) -> AnnotatedSequence:
        """The video as a sequence for validation. A `centred` video is not suitable."""
        return AnnotatedSequence(self.name, self.frames, self.boxes)

    def usable(self) -> NDArray[np.intp]:
        """Indices of the frames whose box is finite and large enough for training."""
        return np.flatnonzero(np.isfinite(self.boxes).all(axis=1) & (self.boxes[:, 2:] >= MIN_SIDE).all(axis=1))

    def read(self, index: int) -> tuple[Image, Box]:
        """Frame `index`, uint8 (H, W, 3) BGR, without black borders, and its box in this frame."""
        image, box = self.frames.read(index), Box(*self.boxes[index])
        if not self.bordered:
            return image, box
        left, top, right, bottom = _content_edges(image)
        return image[top:bottom, left:right], Box(box.x - left, box.y - top, box.w, box.h)


def _content_edges(image: Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the image without black borders; of the whole image if all of it is dark."""
    bright = image.max(axis=2) > BLACK
    columns, rows = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
    if not len(columns):
        return 0, 0, image.shape[1], image.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_footage(place: str, hashes: bool = False) -> list[Video]:
    """The videos of "FOLDER" (see `read_videos`), "LAYOUT:FOLDER" or "LAYOUT:SUBSET:FOLDER", with a layout of LAYOUTS.

    Raises SequenceError if there is no video, or if the files are inconsistent.
    """
    layout = place.partition(":")[0]
    if layout not in LAYOUTS:
        return read_videos(Path(place), hashes)
    return [Video.of(sequence) for sequence in open_sequences(place)]


def open_sequences(place: str) -> Dataset:
    """The data set of "LAYOUT:FOLDER", "LAYOUT:SUBSET:FOLDER" or, in OTB's layout, "FOLDER". Raises SequenceError."""
    layout, _, rest = place.partition(":")
    if layout not in LAYOUTS:
        return open_dataset("otb", Path(place))
    subset, _, folder = rest.partition(":")
    if folder and subset in LAYOUTS[layout].subsets:
        return open_dataset(layout, Path(folder), subset=subset)
    return open_dataset(layout, Path(rest))


def read_videos(root: Path, hashes: bool = False) -> list[Video]:
    """The videos in `root`: a cache of crops, or folders with `groundtruth_rect.txt` (OTB) or `boxes.csv` (clips).

    hashes: compares the content of a cache with its hashes, not only the file sizes.
    Raises SequenceError if there is no video, if the files of a folder are inconsistent, or if a cache is damaged.
    """
    if not root.is_dir():
        layout = str(root).partition(":")[0]
        hint = f"; there is no layout {layout!r}, the layouts are {', '.join(LAYOUTS)}" * (":" in str(root))
        raise SequenceError(
            f"{root}: {'not a folder' if root.exists() else 'no such folder'}; give a folder of videos{hint}"
        )
    if (root / MANIFEST).is_file():
        return _read_cache(root, hashes)
    videos = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        if (folder / "groundtruth_rect.txt").is_file():
            videos.append(Video.of(read_otb(folder)))
        elif (folder / BOXES).is_file():
            videos.append(_read_clip(folder))
    if not videos:
        raise SequenceError(f"{root}: no subfolder contains groundtruth_rect.txt or boxes.csv")
    return videos


def _read_cache(root: Path, hashes: bool) -> list[Video]:
    manifest = Manifest.load(root)
    check_clips(root, manifest, hashes)
    return [_read_crops(root / name, clip, manifest.settings) for name, clip in manifest.clips.items()]


def _read_crops(folder: Path, clip: Clip, settings: CropSettings) -> Video:
    """A clip of a cache. Its crops have no padding."""
    prints = np.frombuffer(bytes.fromhex("".join(clip.prints)), dtype=np.uint8).reshape(-1, 16)
    return replace(_read_clip(folder), around=settings.around, bordered=False, prints=prints)


def _read_clip(folder: Path) -> Video:
    """A clip: images, and `boxes.csv` with the columns source_frame, x, y, w, h (0-based), one row per image."""
    frames = image_files(folder)
    try:
        with (folder / BOXES).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SequenceError(f"{folder / BOXES}: cannot be read as a CSV file ({error})") from error
    if len(rows) != len(frames):
        raise SequenceError(f"{folder}: {len(frames)} frames but {len(rows)} rows in {BOXES}")
    try:
        values = np.array([[float(row[key]) for key in ("source_frame", "x", "y", "w", "h")] for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise SequenceError(f"{folder / BOXES}: needs numbers in source_frame, x, y, w, h ({error})") from error
    times = values[:, 0]  # boxes may be NaN or infinite: `describe_boxes` counts them, and they are not used
    if not (np.abs(times) < LARGEST_NUMBER).all():
        raise SequenceError(f"{folder / BOXES}: source_frame must be finite and below {LARGEST_NUMBER:g}")
    return Video(folder.name, ImageFrames(frames), values[:, 1:], times.astype(np.int64), centred=True, bordered=True)
