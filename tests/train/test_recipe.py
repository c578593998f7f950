"""A recipe with a value of a wrong type is refused, and the message names the setting."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from dcfnet.errors import ConfigError, ModelError
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import Run
from safetensors import safe_open
from safetensors.torch import save_file

WRONG = {
    int: ["7", 7.5, True, [7], {"a": 1}, None],
    float: ["1", True, [1.0], {"a": 1}, None, float("nan")],
    bool: [1, "true", [True], None],
    str: [3, ["adam"], {"a": 1}, None],
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_setting_refuses_other_types(name: str) -> None:
    for value in WRONG[type(getattr(Recipe(), name))]:
        with pytest.raises(ConfigError, match=f"{name}="):
            Recipe().replace(**{name: value})


def test_a_checkpoint_with_an_invalid_recipe_is_refused(tmp_path: Path) -> None:
    file = Run.start(Recipe(), tmp_path).save()
    with safe_open(file, framework="pt") as opened:
        metadata, tensors = opened.metadata(), {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    for recipe in ({"steps": "many"}, {"batch": [16]}, {"stepz": 1}, ["steps"], 3):
        save_file(tensors, file, {**metadata, "recipe": json.dumps(recipe)})
        with pytest.raises(ModelError, match=r"last\.safetensors: the recipe cannot be read"):
            load_checkpoint(file)
