"""What a cache of crops holds: `manifest.json`, and a folder a clip with its images, `boxes.csv` and `clip.json`.

A clip is there whole or not at all, and `clip.json` says what it is made of. The manifest says how all are made from
the first clip on, and what is in them once they are all there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcfnet.frames import image_files
from dcfnet.settings import Rule, Settings, number, one_of, whole
from dcfnet.sinks import write_whole
from dcfnet_evaluation.sequences import SequenceError

FORMAT = "dcfnet-crops-1"
MANIFEST, RECORD, BOXES = "manifest.json", "clip.json", "boxes.csv"
NAMED = 5  # broken clips that a message names
READERS = 8  # threads that hash


@dataclass(frozen=True)
class CropSettings(Settings):
    """How crops are cut. Raises ConfigError listing every value that is out of range."""

    around: float = 4.0  # side of the square / longer side of the target: patches of padding 2, displaced, need 3.6
    # px, of the square, which is never enlarged: then the shorter side of a target twice as long as wide has 40 px, as
    # in the network's patch
    longest: int = 320
    image: str = "jpg"
    quality: int = 90  # of JPEG

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
    """What is in the folder of a clip.

    source: tells the footage that it was cut from. sha256: of boxes and images. unreadable: frames that were left out,
    and why. prints: fingerprints of some whole frames, hexadecimal, by which footage of a test set is found.
    """

    frames: int
    bytes: int
    sha256: str
    source: str
    unreadable: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Clip:
        """The clip of a JSON object."""
        lists = {key: tuple(values[key]) for key in ("unreadable", "prints")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Manifest:
    """places: the footage, as it was named. clips: by name, in the footage's order; empty until all are there."""

    places: tuple[str, ...]
    settings: CropSettings
    clips: Mapping[str, Clip]

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """The manifest of a cache. Raises SequenceError naming a file that cannot be read as one."""
        file = root / MANIFEST
        values = read_json(file)
        if values.get("format") != FORMAT:
            raise SequenceError(f"{file}: format {values.get('format')!r}, expected {FORMAT!r}; dcfnet-crops writes it")
        try:
            settings = CropSettings.from_mapping(values["settings"])
            clips = {name: Clip.from_mapping(clip) for name, clip in values["clips"].items()}
            return cls(tuple(values["places"]), settings, clips)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SequenceError(f"{file}: not as dcfnet-crops writes it ({error})") from error

    def save(self, root: Path) -> None:
        """Writes the manifest. Raises SinkError naming a place that cannot be written."""
        clips = {name: asdict(clip) for name, clip in self.clips.items()}
        content = {"format": FORMAT, "places": self.places, "settings": self.settings.to_mapping(), "clips": clips}
        write_whole(json.dumps(content, indent=1).encode(), root / MANIFEST)

    def differences(self, other: Manifest) -> list[str]:
        """What another cache would be made of, or made with, that this one is not: "longest is 320, not 255"."""
        mine, theirs = ({"videos": ", ".join(m.places)} | m.settings.to_mapping() for m in (self, other))
        return [f"{key} is {mine[key]}, not {theirs[key]}" for key in mine if mine[key] != theirs[key]]


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises SequenceError naming one that holds none."""
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SequenceError(f"{file}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise SequenceError(f"{file}: not a JSON object")
    return values


def measure(folder: Path) -> tuple[int, int]:
    """Number of images in the folder of a clip, and their bytes."""
    files = image_files(folder)
    return len(files), sum(file.stat().st_size for file in files)


def digest(folder: Path) -> str:
    """SHA-256 of a clip's boxes and images, in order, hexadecimal. Raises SequenceError for what cannot be read."""
    found = hashlib.sha256()
    try:
        for file in (folder / BOXES, *image_files(folder)):
            found.update(file.read_bytes())
    except OSError as error:
        raise SequenceError(f"{folder}: cannot be read ({error})") from error
    return found.hexdigest()


def check_clips(root: Path, manifest: Manifest, hashes: bool = False) -> None:
    """Compares all clips with the manifest: images and their bytes, or the hashes of all that is in them.

    Raises SequenceError naming the clips that differ, and for a cache that is not finished.
    """
    if not manifest.clips:
        raise SequenceError(f"{root}: a cache that is not finished; run dcfnet-crops again, and it goes on")
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda name: _fault(root / name, manifest.clips[name], hashes), manifest.clips)
        faults = [fault for fault in found if fault]
    if faults:
        raise SequenceError(f"{root}: {_some(faults)}; run dcfnet-crops again to cut them anew")


def _fault(folder: Path, clip: Clip, hashes: bool) -> str:
    """How a clip differs from its record; "" where it does not."""
    if not folder.is_dir():
        return f"{folder.name} is missing"
    frames, size = measure(folder)
    if (frames, size) != (clip.frames, clip.bytes):
        return f"{folder.name} holds {frames} images of {size} bytes, not {clip.frames} of {clip.bytes}"
    return f"{folder.name} is not what was written" if hashes and digest(folder) != clip.sha256 else ""


def _some(faults: Iterable[str]) -> str:
    told = list(faults)
    return "; ".join(told[:NAMED]) + (f"; and {len(told) - NAMED} more" if len(told) > NAMED else "")
