"""How a live source is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dcfnet.errors import ConfigError


def _silent(line: str) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class LiveOptions:
    """How a live source is read. Raises ConfigError for a number that is negative, or no number.

    every_frame: no frame that arrives is left out; False: only the newest one is kept. reconnect: seconds after a lost
    connection in which a frame must arrive; then the stream is given up. open_timeout, read_timeout: seconds to open a
    stream and to wait for its next frame. tell: gets a line for the user at each interruption.
    """

    every_frame: bool = False
    reconnect: float = 30.0
    open_timeout: float = 3.0
    read_timeout: float = 2.0
    tell: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        if not (math.isfinite(self.reconnect) and self.reconnect >= 0):
            raise ConfigError(f"--reconnect {self.reconnect:g}: must be a number of seconds, 0 or more")
