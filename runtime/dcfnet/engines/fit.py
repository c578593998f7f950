"""Whether an engine fits the machine and the tracker that are to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcfnet.engines.options import AMPERE

if TYPE_CHECKING:
    from dcfnet.engines.passport import Passport

INPUT, OUTPUT = ("patches", ("float", "half"), 3), ("features", ("float",), None)  # name, TensorRT's types, channels


@dataclass(frozen=True)
class Environment:
    """What would run an engine: TensorRT by name and version, and the GPU's compute capability, such as "8.6"."""

    flavour: str
    version: str
    compute_capability: str


def misfits(passport: Passport, here: Environment, batch: int, side: int) -> list[str]:
    """Every field in which the engine is not for here, and patches (batch, 3, side, side): what it has, and what is
    needed.
    """
    options = passport.options
    found = []
    if passport.flavour != here.flavour:
        found.append(f"flavour: built with {passport.flavour}, here is {here.flavour}")
    elif not _version_fits(passport, here.version):
        found.append(f"version: built with {passport.flavour} {passport.version}, here is {here.version}")
    wanted = _capabilities(passport)
    if not _runs_on(wanted, here.compute_capability):
        found.append(f"compute capability: built for {wanted}, this GPU has {here.compute_capability}")
    for name, needed, (low, _, high) in (("batch", batch, options.batches()), ("side", side, options.sides())):
        if not low <= needed <= high:
            found.append(f"profile: takes a {name} from {low} to {high}, needed is {needed}")
    for ends, (name, types, channels) in ((passport.inputs, INPUT), (passport.outputs, OUTPUT)):
        got = [(end.name, end.dtype, end.shape[1] if len(end.shape) == 4 else 0) for end in ends]
        fits = len(got) == 1 and got[0][0] == name and got[0][1] in types and channels in (None, got[0][2])
        if not fits:
            found.append(f"tensors: has {got}, needed is one {(name, ' or '.join(types), channels)}")
    return found


def _version_fits(passport: Passport, here: str) -> bool:
    """The same version, or, of an engine that was built so, a later one of the same major version."""
    if not passport.options.version_compatible:
        return passport.version == here
    built, found = ([int(part) for part in text.split(".") if part.isdecimal()] for text in (passport.version, here))
    return built[:1] == found[:1] and found >= built


def _capabilities(passport: Passport) -> str:
    """What an engine is for: "8.6,8.9", or "8.0+"."""
    options = passport.options
    if options.hardware_compatible or (passport.flavour == "tensorrt_rtx" and not options.capabilities()):
        return f"{AMPERE}+"
    return options.compute_capabilities or passport.built_on


def _runs_on(wanted: str, here: str) -> bool:
    if wanted.endswith("+"):
        return float(here) >= float(wanted[:-1])
    return here in wanted.split(",")
