"""Frozen settings: checked on creation, readable from mappings. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dcfnet.errors import ConfigError

S = TypeVar("S", bound="Settings")
Rule = tuple[Callable[[Any], bool], str]  # (check of a value, description of valid values)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of frozen dataclasses of settings. A subclass defines `rules`.

    Raises ConfigError that lists all values that break their rules.
    """

    def __post_init__(self) -> None:
        rules = self.rules()
        broken = [(name, rule) for name, (is_valid, rule) in rules.items() if not is_valid(getattr(self, name))]
        if broken:
            raise ConfigError("; ".join(f"{name}={getattr(self, name)!r}: must be {rule}" for name, rule in broken))

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """The rule of each setting, by name."""
        raise NotImplementedError

    @classmethod
    def from_mapping(cls: type[S], values: Mapping[str, Any]) -> S:
        """Settings with these values, and defaults for the others. Raises ConfigError that lists all unknown keys."""
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"unknown setting {', '.join(unknown)}: must be one of {', '.join(known)}")
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """All settings as a dict for JSON."""
        return dataclasses.asdict(self)

    def changes_from(self: S, other: S) -> dict[str, Any]:
        """The values that differ from those of `other`."""
        reference = other.to_mapping()
        return {name: value for name, value in self.to_mapping().items() if value != reference[name]}

    def replace(self: S, **changes: Any) -> S:
        """A copy with changes. Raises ConfigError that lists all unknown keys."""
        return self.from_mapping({**self.to_mapping(), **changes})

    def assign(self: S, assignments: Sequence[str]) -> S:
        """A copy with "NAME=VALUE" changes, see `parse`. Raises ConfigError."""
        return self.replace(**self.parse(assignments))

    def parse(self, assignments: Sequence[str]) -> dict[str, Any]:
        """The values of "NAME=VALUE" texts, by name. A value is parsed as the type of its setting.

        Raises ConfigError for another form, or a value that cannot be parsed. An unknown name keeps its text.
        """
        values, changes = self.to_mapping(), dict[str, Any]()
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals or not name.strip():
                raise ConfigError(f"{assignment!r}: a setting must be given as NAME=VALUE")
            changes[name] = _parse(name, text, type(values.get(name, text)))
        return changes


def number(low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Rule:
    """The rule of a finite number in [low, high] that is greater than `above`."""
    limits = [f"above {above:g}"] * (above > -math.inf) + [f"at least {low:g}"] * (low > -math.inf)
    limits += [f"at most {high:g}"] * (high < math.inf)
    rule = "a number " + " and ".join(limits)
    return lambda v: _is_number(v) and low <= v <= high and v > above, rule


def whole(low: int, high: int, *, odd: bool = False) -> Rule:
    """The rule of a whole number from low to high."""
    rule = f"{'an odd' if odd else 'a whole'} number from {low} to {high}"
    return lambda v: _is_number(v) and isinstance(v, int) and low <= v <= high and (not odd or v % 2 == 1), rule


def multiple(of: int, low: int, high: int) -> Rule:
    """The rule of a multiple of a number, from low to high."""
    is_whole, _ = whole(low, high)
    return lambda v: is_whole(v) and v % of == 0, f"a multiple of {of} from {low} to {high}"


def flag() -> Rule:
    """The rule of a setting that is on or off."""
    return lambda v: isinstance(v, bool), "true or false"


def one_of(*names: str) -> Rule:
    """The rule of a value that is one of these names."""
    return lambda v: v in names, f"one of {', '.join(names)}"


def _parse(name: str, text: str, kind: type) -> Any:
    rule = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "text")
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ConfigError(f"{name}={text}: must be {rule}") from None


def _is_number(value: Any) -> bool:
    # math.isfinite raises OverflowError for a whole number that no float can hold
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
