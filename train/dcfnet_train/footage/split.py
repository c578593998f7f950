"""Holds whole videos out of training. The choice depends on the name only, so new footage does not change it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from dcfnet.errors import ConfigError

from dcfnet_train.footage.videos import Video

# Names of parts of one video, as the data sets write them.
PARTS = (
    re.compile(r"(ILSVRC\d+_(?:train|val)_\d{5})\d{3}(\.\d+)?"),  # video, snippet (readme.txt of the devkit) and track
    re.compile(r"(.*[a-z]\d+)_\d+"),  # person12_1, person12_2 of UAV123
    re.compile(r"([A-Z][A-Za-z0-9]*)-\d"),  # Jogging-1, Jogging-2 of OTB; LaSOT's cat-1 and cat-2 are two videos
)


def origin(name: str) -> str:
    """The video that a sequence belongs to, from its name; the name itself if it matches no pattern."""
    matches = (pattern.fullmatch(name) for pattern in PARTS)
    return next((match[1] for match in matches if match), name)


def hold_out(videos: Sequence[Video], share: float) -> tuple[list[Video], list[Video]]:
    """Divides the videos: returns the training videos, and the held-out videos, about `share` of all.

    Parts of one video stay together. The choice depends on the name only. Raises ConfigError if the share is not
    between 0 and 1, or if one side is empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"hold_out={share:g}: must be a share above 0 and below 1")
    held_out = [video for video in videos if _hash(origin(video.name)) < share]
    names = {video.name for video in held_out}
    training = [video for video in videos if video.name not in names]
    if not held_out or not training:
        count = "none" if not held_out else "all"
        raise ConfigError(f"hold_out={share:g}: selects {count} of {len(videos)} videos; choose another share")
    return training, held_out


def _hash(name: str) -> float:
    """A number in [0, 1): constant for a name, and uniformly distributed over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
