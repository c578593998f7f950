"""Settings: presets, named constants, and errors that list all problems."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from dcfnet.config import CONSTANTS, PRESETS, TrackerConfig
from dcfnet.errors import ConfigError


def test_the_constants_of_the_paper() -> None:
    paper = TrackerConfig.named("paper")
    assert (paper.padding, paper.label_sigma, paper.regularisation) == (1.5, 0.1, 1e-4)
    assert (paper.learning_rate, paper.scale_step, paper.scales) == (0.008, 1.0375, 3)
    assert paper.patch_size == 126  # the paper's 125, made even
    assert paper.replace(patch_size=125).target_side() == 50
    assert paper.replace(patch_size=125).label_sigma_in_patch() == pytest.approx(5)


def test_the_constants_of_the_released_code() -> None:
    released = TrackerConfig.named("released")
    assert (released.padding, released.learning_rate) == (2.0, 0.01)
    assert (released.scale_step, released.scale_penalty) == (1.0275, 0.9925)


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_config_equals_the_one_from_its_mapping(name: str) -> None:
    config = TrackerConfig.named(name)
    assert TrackerConfig.from_mapping(config.to_mapping()) == config


def test_an_update_every_nth_frame_forgets_as_much_as_n_updates() -> None:
    config = TrackerConfig(learning_rate=0.02, update_interval=3)
    assert 1 - config.rate_per_update() == pytest.approx(0.98**3)
    assert TrackerConfig(learning_rate=0.02).rate_per_update() == pytest.approx(0.02)
    assert TrackerConfig(learning_rate=1.0, update_interval=5).rate_per_update() == 1


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_only_known_settings(name: str) -> None:
    assert set(PRESETS[name]) <= set(TrackerConfig().to_mapping())
    TrackerConfig().replace(**PRESETS[name])


def test_each_constant_has_a_rule() -> None:
    assert set(TrackerConfig.rules()) == {field.name for field in dataclasses.fields(TrackerConfig)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scales", 2),
        ("scales", 3.0),
        ("padding", 0),
        ("padding", float("nan")),
        ("learning_rate", 1.5),
        ("learning_rate", "0.01"),
        ("patch_size", True),
        ("regularisation", 0.0),
        ("scale_step", 1.0),
    ],
)
def test_a_value_out_of_range_raises(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        TrackerConfig().replace(**{name: value})


def test_the_error_lists_all_problems() -> None:
    with pytest.raises(ConfigError, match=r"padding=-1.*scales=4"):
        TrackerConfig(padding=-1, scales=4)


def test_the_error_names_all_unknown_keys() -> None:
    with pytest.raises(ConfigError, match="interp_factor, lambda0"):
        TrackerConfig.from_mapping({"lambda0": 1e-4, "interp_factor": 0.01, "padding": 2.0})


def test_the_error_for_unknown_constants_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="paper, released, default"):
        TrackerConfig.named("best")


def test_assignments_are_parsed_as_the_type_of_the_setting() -> None:
    changed = TrackerConfig().assign(["scales=5", "padding=2.5", "learning_rate=0"])
    assert (changed.scales, changed.padding, changed.learning_rate) == (5, 2.5, 0)
    assert TrackerConfig().assign([]) == TrackerConfig()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [("scales=many", "a whole number"), ("scales=3.5", "a whole number"), ("padding=x", "a number"),
     ("lambda=1", "unknown setting lambda"), ("padding", "must be given as NAME=VALUE"), ("padding=-1", "above 0")],
)  # fmt: skip
def test_an_assignment_that_cannot_be_parsed_raises(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrackerConfig().assign([assignment])
