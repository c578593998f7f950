"""Colours of the trackers, the same in plots and pictures; told apart by the colour-blind (Okabe and Ito, 2008)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TRUTH = "truth"
Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

OF_TRUTH: Colour = (255, 255, 255)
OF_TRACKERS: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)


@dataclass(frozen=True)
class Ground:
    """What a plot is drawn on: colours of text and axes, of grid lines, and of the ground itself."""

    ink: str
    grid: str
    ground: str


LIGHT = Ground(ink="#1d2127", grid="#d9dde3", ground="#ffffff")
DARK = Ground(ink="#e4e7eb", grid="#3a414b", ground="#1b1f25")


def colours(trackers: Iterable[str]) -> Mapping[str, Colour]:
    """A colour for each tracker; they repeat after the sixth, where line style and marker still differ."""
    return {name: OF_TRACKERS[i % len(OF_TRACKERS)] for i, name in enumerate(trackers)}


def hexadecimal(colour: Colour) -> str:
    """As style sheets write it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
