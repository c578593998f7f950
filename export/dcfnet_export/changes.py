"""The network that is exported, and the options that change it. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcfnet.errors import ConfigError
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model

LRNS = ("fast", "op")


@dataclass(frozen=True)
class Changes:
    """Options that change the model of a checkpoint. None, or no settings: the default of the checkpoint.

    config: name of the constants. settings: "NAME=VALUE", changes of the constants. stride, lrn: see `make_model`.
    confidence: a file of dcfnet-calibrate confidence. Raises ConfigError for an unknown `lrn`.
    """

    config: str | None = None
    settings: Sequence[str] = ()
    stride: int | None = None
    lrn: str | None = None
    confidence: Path | None = None

    def __post_init__(self) -> None:
        if self.lrn not in (None, *LRNS):
            raise ConfigError(f"--lrn {self.lrn}: must be {' or '.join(LRNS)}")

    def given(self) -> list[str]:
        """The names of the values that are given."""
        return [name for name, value in vars(self).items() if value is not None and value != () and value != []]

    def refuse(self, names: Sequence[str], reason: str) -> None:
        """Raises ConfigError if one of these options is given, because it would have no effect."""
        options = {"settings": "set"}
        given = [f"--{options.get(name, name)}" for name in self.given() if name in names]
        if given:
            raise ConfigError(f"{', '.join(given)}: {reason}")


@dataclass(frozen=True)
class Source:
    """A network that is exported.

    model: float32; its name is that of the exported files. reference: computes the same features in another way, for
    `--verify`. reference_name: what computes them. compared: whether the model was compared with it on patches.
    """

    model: Model
    reference: Backbone
    reference_name: str
    compared: bool = True
