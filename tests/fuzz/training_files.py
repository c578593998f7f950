"""Readers of the files of a training: checkpoints, recipes, manifests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.footage.crop_manifest import Clip, CropSettings, Manifest
from dcfnet_train.footage.videos import _read_clip
from dcfnet_train.recipe import FOLDER, Recipe
from dcfnet_train.training_set.manifest import SHIPPED as FOOTAGE
from dcfnet_train.training_set.manifest import load_manifest

from tests.fuzz.damage import Reader

SHIPPED = Path(__file__).parents[2] / "runtime/dcfnet/model/shipped/dcfnet.safetensors"


def _crops() -> bytes:
    clips = {"one": asdict(Clip(3, 99, "a" * 64, "film"))}
    settings = CropSettings().to_mapping()
    return json.dumps({"format": "dcfnet-crops-1", "places": ["a"], "settings": settings, "clips": clips}).encode()


def _footage() -> bytes:
    return FOOTAGE.read_bytes()[:2500].rpartition(b",\n")[0] + b"\n]\n"


CROPS = b"source_frame,x,y,w,h\n0,10,20,30,40\n3,11,21,30,40\n"
READERS = (
    Reader(
        "clip/boxes.csv",
        lambda: CROPS,
        lambda file: _read_clip(file.parent),
        {f"clip/{number:04d}.jpg": b"" for number in (1, 2)},
    ),
    Reader("manifest.json", _crops, lambda file: Manifest.load(file.parent)),
    Reader("net.safetensors", SHIPPED.read_bytes, load_checkpoint),
    Reader("recipe.toml", (FOLDER / "default.toml").read_bytes, lambda file: Recipe.load(str(file))),
    Reader("footage.toml", _footage, load_manifest),
)
