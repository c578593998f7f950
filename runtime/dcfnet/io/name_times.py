"""Times of images whose names are time stamps, as data sets of robots have them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from dcfnet.io.image_series import FLOAT, NUMBER, are_counters

UNITS = {13: Decimal("1e-3"), 16: Decimal("1e-6"), 19: Decimal("1e-9")}  # digits of a Unix time -> its unit, s


def times_in_names(files: Sequence[Path]) -> list[float] | None:
    """Seconds after the first file, from the one number in each name; None if the numbers are no time stamps.

    Decimals are seconds (1305031102.175304, 0.05). Whole numbers of 13, 16 or 19 digits are Unix times in ms, us or ns
    (1403636579763555584). The files must be in order.
    """
    stems = [file.stem for file in files]
    numbers = [_number(stem) for stem in stems]
    texts = [text for text in numbers if text is not None]
    if len(texts) < 2 or len(texts) < len(stems) or are_counters(stems):
        return None
    values = [Decimal(text) for text in texts]
    if any(value % 1 for value in values):
        unit = Decimal(1)
    elif len({len(text) for text in texts}) == 1 and len(texts[0]) in UNITS:
        unit = UNITS[len(texts[0])]
    else:
        return None
    times = [float((value - values[0]) * unit) for value in values]
    return times if all(second > first for first, second in pairwise(times)) else None


def _number(stem: str) -> str | None:
    """The number in a name; None if there is not exactly one."""
    if FLOAT.fullmatch(stem):
        return stem
    found: list[str] = NUMBER.findall(stem)
    return found[0] if len(found) == 1 else None
