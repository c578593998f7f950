"""A cache of crops: `manifest.json`, and one folder per clip with its images, `boxes.csv` and `clip.json`.

A clip is written atomically, and `clip.json` describes it. The manifest contains the settings from the start, and the
records of all clips when the cache is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcfnet.config.settings import Rule, Settings, number, one_of, whole
from dcfnet.io.files import read_json as load_json
from dcfnet.io.files import write_atomically
from dcfnet.io.image_series import image_files
from dcfnet_evaluation.sequences import SequenceError

FORMAT = "dcfnet-crops-1"
MANIFEST, RECORD, BOXES = "manifest.json", "clip.json", "boxes.csv"
MAX_NAMED = 5  # broken clips that a message lists
READERS = 8  # threads that compute hashes


@dataclass(frozen=True)
class CropSettings(Settings):
    """Settings of the crops. Raises ConfigError with every value that is out of range."""

    around: float = 4.0  # side of the square / longer side of the target; displaced patches of padding 2 need 3.6
    # px, largest side of the square; smaller squares are not enlarged. A target of aspect 2 then has a shorter side of
    # 40 px, as in the patch of the network.
    longest: int = 320
    image: str = "jpg"
    quality: int = 90  # for JPEG

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {
            "around": number(1, 20),
            "longest": whole(32, 4096),
            "image": one_of("jpg", "png"),
            "quality": whole(1, 100),
        }


@dataclass(frozen=True)
class Clip:
    """The record of a clip folder.

    frames: number of images. bytes: their size. sha256: of boxes and images. source: identifies the source footage.
    unreadable: the skipped frames, with the reason. prints: fingerprints of some whole frames, hexadecimal, to find
    videos of a test set.
    """

    frames: int
    bytes: int
    sha256: str
    source: str
    unreadable: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Clip:
        """The clip in a JSON object."""
        lists = {key: tuple(values[key]) for key in ("unreadable", "prints")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Manifest:
    """places: the footage, as on the command line. clips: by name, in footage order; empty until all are complete."""

    places: tuple[str, ...]
    settings: CropSettings
    clips: Mapping[str, Clip]

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """The manifest of a cache. Raises SequenceError with the file if it is not a manifest."""
        file = root / MANIFEST
        values = read_json(file)
        if values.get("format") != FORMAT:
            raise SequenceError(
                f"{file}: format {values.get('format')!r}, expected {FORMAT!r}; use a cache of dcfnet-crops"
            )
        try:
            settings = CropSettings.from_mapping(values["settings"])
            clips = {name: Clip.from_mapping(clip) for name, clip in values["clips"].items()}
            return cls(tuple(values["places"]), settings, clips)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SequenceError(f"{file}: not a valid manifest ({error}); use a cache of dcfnet-crops") from error

    def save(self, root: Path) -> None:
        """Writes the manifest. Raises SinkError if the file cannot be written."""
        clips = {name: asdict(clip) for name, clip in self.clips.items()}
        content = {"format": FORMAT, "places": self.places, "settings": self.settings.to_mapping(), "clips": clips}
        write_atomically(json.dumps(content, indent=1).encode(), root / MANIFEST)

    def differences(self, other: Manifest) -> list[str]:
        """The settings and places in which this cache differs from another: "longest is 320, not 255"."""
        own, others = ({"videos": ", ".join(m.places)} | m.settings.to_mapping() for m in (self, other))
        return [f"{key} is {own[key]}, not {others[key]}" for key in own if own[key] != others[key]]


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises SequenceError with the file if it does not contain an object."""
    try:
        values = load_json(file)
    except (OSError, ValueError) as error:
        raise SequenceError(f"{file}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise SequenceError(f"{file}: not a JSON object")
    return values


def measure(folder: Path) -> tuple[int, int]:
    """Number of images in a clip folder, and their total size in bytes."""
    files = image_files(folder)
    return len(files), sum(file.stat().st_size for file in files)


def digest(folder: Path) -> str:
    """SHA-256 of the boxes and images of a clip, in order, hexadecimal. Raises SequenceError for an unreadable file."""
    sha256 = hashlib.sha256()
    try:
        for file in (folder / BOXES, *image_files(folder)):
            sha256.update(file.read_bytes())
    except OSError as error:
        raise SequenceError(f"{folder}: cannot be read ({error})") from error
    return sha256.hexdigest()


def check_clips(root: Path, manifest: Manifest, hashes: bool = False) -> None:
    """Compares all clips with the manifest: number and size of the images, and with `hashes` also the content.

    Raises SequenceError with the clips that differ, or if the cache is incomplete.
    """
    if not manifest.clips:
        raise SequenceError(f"{root}: the cache is incomplete; run dcfnet-crops again to complete it")
    with ThreadPoolExecutor(READERS) as readers:
        results = readers.map(lambda name: _fault(root / name, manifest.clips[name], hashes), manifest.clips)
        faults = [fault for fault in results if fault]
    if faults:
        raise SequenceError(f"{root}: {_first_few(faults)}; run dcfnet-crops again to replace the clips")


def _fault(folder: Path, clip: Clip, hashes: bool) -> str:
    """The difference between a clip and its record; "" if there is none."""
    if not folder.is_dir():
        return f"{folder.name} is missing"
    frames, size = measure(folder)
    if (frames, size) != (clip.frames, clip.bytes):
        return f"{folder.name} has {frames} images of {size} bytes, expected {clip.frames} of {clip.bytes}"
    return f"{folder.name} differs from its hash" if hashes and digest(folder) != clip.sha256 else ""


def _first_few(faults: Iterable[str]) -> str:
    listed = list(faults)
    return "; ".join(listed[:MAX_NAMED]) + (f"; and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else "")
