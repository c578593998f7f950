"""Structures of the kernels, made from NumPy's description of the same records. So each layout is written once."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.cuda.sampling import GRID
from dcfnet.devices.records import OUTCOME, RULES, TARGET

# u8: the address of pixels
C_TYPES = {
    "f8": "double",
    "f4": "float",
    "i8": "long long",
    "i4": "int",
    "u1": "unsigned char",
    "u8": "const unsigned char*",
}
STRUCTURES: dict[str, np.dtype[Any]] = {
    **{"Place": PLACE, "Grid": GRID},
    **{"Target": TARGET, "Outcome": OUTCOME, "Rules": RULES},
}


def c_structure(name: str, layout: np.dtype[Any]) -> str:
    """The definition in C of a record with aligned fields: numbers, addresses, and arrays."""
    assert layout.isalignedstruct, f"{name}: a compiler would align its fields"
    lines = [_member(field, layout[field]) for field in layout.names or ()]
    return f"struct {name} {{\n" + "".join(f"    {line};\n" for line in lines) + "};\n"


def _member(name: str, kind: np.dtype[Any]) -> str:
    base, shape = kind.subdtype or (kind, ())
    lengths = "".join(f"[{length}]" for length in shape)
    return f"{C_TYPES[base.str[1:]]} {name}{lengths}"
