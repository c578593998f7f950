"""Whether an engine can run on this machine, for this tracker."""

from __future__ import annotations

from dataclasses import dataclass

from dcfnet.engines.flavour import RTX, Flavour
from dcfnet.engines.options import AMPERE
from dcfnet.engines.passport import Passport

INPUT, OUTPUT = ("patches", ("float", "half"), 3), ("features", ("float",), None)  # name, TensorRT dtypes, channels


@dataclass(frozen=True)
class Environment:
    """A machine: name and version of its TensorRT, and the compute capability of its GPU, for example "8.6".

    unsupported: this TensorRT has no engines for this GPU; see `Flavour.lacks`.
    """

    flavour: str
    version: str
    compute_capability: str
    unsupported: bool = False

    @classmethod
    def of(cls, flavour: Flavour, compute_capability: str) -> Environment:
        """The machine with this TensorRT and a GPU of this compute capability."""
        return cls(flavour.name, flavour.version, compute_capability, flavour.lacks(compute_capability))

    def remedy(self, name: str) -> str:
        """What to do with an engine that cannot run here. name: of its file."""
        if self.unsupported:
            return f"export it with TensorRT (dcfnet-export --trt --flavour tensorrt), or use {name}.onnx next to it"
        return "build it again (dcfnet-run --rebuild)"


def incompatibilities(passport: Passport, machine: Environment, batch: int, side: int) -> list[str]:
    """The fields that prevent the engine from running on the machine, each with both values; empty if there are none.

    batch, side: of the patches (batch, 3, side, side) that the tracker needs.
    """
    options = passport.options
    problems = []
    if passport.flavour != machine.flavour:
        problems.append(f"flavour: built with {passport.flavour}, this machine has {machine.flavour}")
    elif not _version_matches(passport, machine.version):
        built_with = f"{passport.flavour} {passport.version}"
        problems.append(f"version: built with {built_with}, this machine has {machine.version}")
    capabilities = _capabilities(passport)
    if machine.unsupported:
        product = f"{machine.flavour} {machine.version}"
        problems.append(f"compute capability: {product} has no engines for this GPU, {machine.compute_capability}")
    elif not _runs_on(capabilities, machine.compute_capability):
        problems.append(f"compute capability: built for {capabilities}, this GPU has {machine.compute_capability}")
    for name, required, (low, _, high) in (("batch", batch, options.batches()), ("side", side, options.sides())):
        if not low <= required <= high:
            problems.append(f"profile: accepts a {name} from {low} to {high}, required is {required}")
    for bindings, (name, dtypes, channels) in ((passport.inputs, INPUT), (passport.outputs, OUTPUT)):
        tensors = [(each.name, each.dtype, each.shape[1] if len(each.shape) == 4 else 0) for each in bindings]
        matches = len(tensors) == 1 and tensors[0][0] == name and tensors[0][1] in dtypes
        if not (matches and channels in (None, tensors[0][2])):
            problems.append(f"tensors: has {tensors}, required is one {(name, ' or '.join(dtypes), channels)}")
    return problems


def _version_matches(passport: Passport, version: str) -> bool:
    """True for the same version, and for a version-compatible engine also for a later one of the same major version."""
    if not passport.options.version_compatible:
        return passport.version == version
    built, present = (
        [int(part) for part in text.split(".") if part.isdecimal()] for text in (passport.version, version)
    )
    return built[:1] == present[:1] and present >= built


def _capabilities(passport: Passport) -> str:
    """The compute capabilities that an engine was built for: "8.6,8.9", or "8.0+"."""
    options = passport.options
    if options.hardware_compatible or (passport.flavour == RTX and not options.capabilities()):
        return f"{AMPERE}+"
    return options.compute_capabilities or passport.built_on


def _runs_on(built_for: str, capability: str) -> bool:
    if built_for.endswith("+"):
        return float(capability) >= float(built_for[:-1])
    return capability in built_for.split(",")
