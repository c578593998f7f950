"""From the model configuration of Triton to the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcfnet.errors import ConfigError
from dcfnet.tracker import MultiTracker

from dcfnet_triton.sequences import Sequences

PARAMETERS = ("model", "device", "preset", "engine", "threads")
DEFAULT_IDLE = 1_000_000  # us, Triton's own default


def open_sequences(config: Mapping[str, Any]) -> Sequences:
    """The sequences of a model, ready for the first request.

    config: the model configuration, as Triton hands it to `initialize` as JSON. Raises ConfigError, and the errors of
    `MultiTracker`.
    """
    batching = config.get("sequence_batching", {})
    limit = int(batching.get("oldest", {}).get("max_candidate_sequences", 0))
    if limit < 1:
        raise ConfigError("config.pbtxt: sequence_batching needs oldest { max_candidate_sequences }, 1 or more")
    # Zero means the default. JSON has 64-bit numbers as text in some versions of Triton, as numbers in others.
    idle = int(batching.get("max_sequence_idle_microseconds", 0)) or DEFAULT_IDLE
    tracker = MultiTracker(**settings(config), capacity=limit)
    tracker.warm_up()
    return Sequences(tracker, limit, idle / 1e6)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `MultiTracker` in the parameters of the configuration.

    Names of Triton's own parameters are in upper case; they are skipped. An empty value is the default of the
    argument. Raises ConfigError for an unknown parameter and for a number of threads that is no whole number.
    """
    parameters = config.get("parameters", {}).items()  # JSON can leave out an empty string_value
    given = {name: value.get("string_value", "") for name, value in parameters if not name.isupper()}
    unknown = sorted(set(given) - set(PARAMETERS))
    if unknown:
        raise ConfigError(f"config.pbtxt: unknown parameters {unknown}; known are {list(PARAMETERS)}")
    values: dict[str, Any] = {name: value for name, value in given.items() if value}
    if "threads" in values:
        try:
            values["threads"] = int(values["threads"])
        except ValueError:
            raise ConfigError(f"config.pbtxt: threads={values['threads']!r} must be a whole number") from None
    return values
