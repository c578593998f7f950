"""TensorRT, in whichever of its two forms is installed. The only importer of tensorrt and tensorrt_rtx."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dcfnet.errors import ConfigError, MissingDependencyError

FLAVOURS = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}  # module, and the extra it comes with; the first found is taken


@dataclass(frozen=True)
class Flavour:
    """An importable TensorRT. module: as it was imported. journal: a logger of it, whose `lines` are what it said."""

    name: str
    version: str
    module: Any
    journal: Any

    def errors(self) -> str:
        """The last things that it called errors, in one line."""
        said = [line for level, line in self.journal.lines if "ERROR" in level]
        return "; ".join(said[-3:]) or "it does not say why"


def open_flavour(name: str = "auto") -> Flavour:
    """TensorRT by its module's name, or "auto": the first of FLAVOURS that can be imported.

    Raises ConfigError for another name, and MissingDependencyError saying what was found in place of it.
    """
    if name != "auto" and name not in FLAVOURS:
        raise ConfigError(f"no flavour {name!r} of TensorRT; there are auto, {', '.join(FLAVOURS)}")
    wanted = tuple(FLAVOURS) if name == "auto" else (name,)
    found = []
    for flavour in wanted:
        try:
            module = import_module(flavour)
        except Exception as error:  # its loader raises what it likes when libraries of it cannot be opened
            found.append(f"{flavour}: {error}")
            continue
        return Flavour(flavour, str(module.__version__), module, _journal(module))
    raise MissingDependencyError(" or ".join(wanted), FLAVOURS[wanted[-1]], "; ".join(found))


def _journal(trt: Any) -> Any:
    """A logger that keeps what is said instead of printing it: (level, line) each, in order."""

    class Journal(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, message: str) -> None:
            self.lines.append((severity.name, message))

    return Journal()
