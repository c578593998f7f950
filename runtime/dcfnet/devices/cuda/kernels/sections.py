"""The records that a captured program gets and returns: sections of one buffer, which one copy moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.records import OUTCOME, TARGET
from dcfnet.filter.dcf import Array


@dataclass(frozen=True)
class Sections:
    """The layout of a buffer for `size` targets. kinds: by name, the record, and the number of records per target."""

    size: int
    kinds: Mapping[str, tuple[np.dtype[Any], int]]

    @classmethod
    def searched(cls, size: int, patches: int) -> Sections:
        """What *detect* gets: places of the patches, the targets, the outcomes of an earlier pass, numbers of slots."""
        number = np.dtype(np.int32)
        return cls(
            size, {"places": (PLACE, patches), "targets": (TARGET, 1), "before": (OUTCOME, 1), "slots": (number, 1)}
        )

    @classmethod
    def found(cls, size: int) -> Sections:
        """What *detect* returns: the targets after it, the outcomes, and the places for updates of filters."""
        return cls(size, {"targets": (TARGET, 1), "outcomes": (OUTCOME, 1), "updates": (PLACE, 1)})

    @classmethod
    def learnt(cls, size: int) -> Sections:
        """What *update* gets: places of the patches, and numbers of slots."""
        return cls(size, {"places": (PLACE, 1), "slots": (np.dtype(np.int32), 1)})

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return sum(self.size * each * kind.itemsize for kind, each in self.kinds.values())

    def of(self, buffer: Array) -> dict[str, Array]:
        """The sections of a buffer, uint8 (nbytes,), on the host or on a device, as bytes."""
        sections, start = {}, 0
        for name, (kind, each) in self.kinds.items():
            end = start + self.size * each * kind.itemsize
            sections[name], start = buffer[start:end], end
        return sections

    def records(self, buffer: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The sections of a host buffer as records: (size,), or (size, P) for several per target."""
        views = {}
        for name, section in self.of(buffer).items():
            kind, each = self.kinds[name]
            views[name] = section.view(kind).reshape((self.size, each) if name == "places" else self.size)
        return views
