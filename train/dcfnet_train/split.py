"""Videos that are held out of training: whole ones, by their names, so that added footage moves none of the others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from dcfnet.errors import ConfigError

from dcfnet_train.videos import Video

# Names that tell which video they are parts of, as the data sets give them.
PARTS = (
    re.compile(r"(ILSVRC\d+_(?:train|val)_\d{5})\d{3}(\.\d+)?"),  # video and snippet (readme.txt of the devkit), track
    re.compile(r"(.*[a-z]\d+)_\d+"),  # person12_1, person12_2 of UAV123
    re.compile(r"([A-Z][A-Za-z0-9]*)-\d"),  # Jogging-1, Jogging-2 of OTB; LaSOT's cat-1 and cat-2 are two videos
)


def origin(name: str) -> str:
    """The video that a sequence is a part of, where its name tells; else its own name."""
    found = (pattern.fullmatch(name) for pattern in PARTS)
    return next((match[1] for match in found if match), name)


def hold_out(videos: Sequence[Video], share: float) -> tuple[list[Video], list[Video]]:
    """The videos to learn from, and about `share` of them held out; parts of one video stay together.

    Chance comes from the name alone. Raises ConfigError for a share that leaves nothing on one side, or is none.
    """
    if not 0 < share < 1:
        raise ConfigError(f"hold-out {share:g}: must be a share above 0 and under 1")
    held = [video for video in videos if _place(origin(video.name)) < share]
    names = {video.name for video in held}
    kept = [video for video in videos if video.name not in names]
    if not held or not kept:
        which = "none" if not held else "all"
        raise ConfigError(f"hold-out {share:g}: holds out {which} of {len(videos)} videos; choose another share")
    return kept, held


def _place(name: str) -> float:
    """A number in [0, 1) that is always the same for a name, and evenly spread over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
