"""Readers of bags of ROS."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dcfnet.io.sources import open_source

from tests.fuzz.damage import Reader
from tests.runtime.bags.recordings import image, in_order, record


@cache
def _bag(suffix: str) -> bytes:
    pictures = np.random.default_rng(0).integers(0, 255, (6, 8, 12, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        messages = in_order(image(picture, "bgr8") for picture in pictures)
        return record(Path(folder) / f"bag{suffix}", messages).read_bytes()


def _read_bag(file: Path) -> list[float]:
    return [frame.time for frame in open_source(file)]


READERS = tuple(Reader(f"bag{suffix}", partial(_bag, suffix), _read_bag) for suffix in (".mcap", ".db3", ".bag"))
