"""Colours of the trackers in plots and pictures, distinguishable with colour blindness (Okabe and Ito, 2008)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TRUTH = "truth"
Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

TRUTH_COLOUR: Colour = (255, 255, 255)
TRACKER_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)


@dataclass(frozen=True)
class Theme:
    """Colours of a plot. ink: text and axes. grid: grid lines. background: background."""

    ink: str
    grid: str
    background: str


LIGHT = Theme(ink="#1d2127", grid="#d9dde3", background="#ffffff")
DARK = Theme(ink="#e4e7eb", grid="#3a414b", background="#1b1f25")


def colours(trackers: Iterable[str]) -> Mapping[str, Colour]:
    """A colour for each tracker. Colours repeat after the sixth; line style and marker still differ."""
    return {name: TRACKER_COLOURS[i % len(TRACKER_COLOURS)] for i, name in enumerate(trackers)}


def hexadecimal(colour: Colour) -> str:
    """The colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
