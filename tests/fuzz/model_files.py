"""Readers of models, of passports and keys of engines, of int8 ranges, and of the states of trackers."""

from __future__ import annotations

import atexit
import json
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest.mock import patch

import numpy as np
import onnx
from dcfnet.backbones.loading import load_model
from dcfnet.config import TrackerConfig
from dcfnet.engines import signing
from dcfnet.engines.builder import Binding
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport, _document
from dcfnet.lifecycle.state_file import SUM_KEY, SavedTargets, checksum, read_state, state_bytes
from dcfnet.lifecycle.warm_up import noise_target
from dcfnet.model.file import LEVELS_KEY, SHIPPED, read_metadata
from dcfnet.tracking.steps import step
from dcfnet_export.deep_graph import ConfidenceFit
from dcfnet_export.precision.ranges import Ranges
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tests.conftest import make_raw_pipeline
from tests.fuzz.damage import Reader

MODELS = Path(__file__).parents[2] / "runtime/dcfnet/model/shipped"
PIPELINE = make_raw_pipeline(patch_size=32, update_interval=1)


@cache
def _model() -> bytes:
    """The metadata of the shipped model on a graph with one small tensor, so that most faults are in the metadata."""
    tensor = onnx.numpy_helper.from_array(np.ones(4, np.float32), "weight")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor]))
    levels = json.dumps([{"channels": 32, "label_sigma": 0.1, "weight": 1.0}])
    onnx.helper.set_model_props(model, read_metadata(load_model("deep").onnx) | {LEVELS_KEY: levels})
    return model.SerializeToString()


def _metadata() -> bytes:
    """The values of the metadata of a model, as one JSON object."""
    values = read_metadata(_model())
    return json.dumps({key: json.loads(value) if value[0] in "[{" else value for key, value in values.items()}).encode()


def _read_metadata(file: Path) -> None:
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return
    if not isinstance(values, dict):
        return
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    model = onnx.ModelProto.FromString(_model())
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: text.encode("utf-8", "replace").decode() for key, text in texts.items()})
    model_file = file.with_suffix(".onnx")
    model_file.write_bytes(model.SerializeToString())
    load_model(model_file)


def _passport_of() -> Passport:
    binding = (Binding("patches", "float32", (-1, 3, 108, 108)),)
    model = load_model("dcfnet")
    texts = dict.fromkeys(("engine_sha256", "onnx_sha256", "weights_sha256", "flavour", "version", "built_on"), "a")
    texts |= dict.fromkeys(("cuda", "driver", "precision", "made_by"), "b")
    return Passport(
        **texts,
        options=BuildOptions.of(model),
        inputs=binding,
        outputs=binding,
        config=TrackerConfig().to_mapping(),
    )


def _passport() -> bytes:
    document = {"format": "dcfnet-engine-1", "passport": asdict(_passport_of()), "key": "", "signature": ""}
    return json.dumps(document).encode()


def _read_passport(file: Path) -> None:
    Passport.of(_document(file.read_bytes(), file.name)["passport"], file.name)


@cache
def _keys() -> Path:
    """A folder of keys with a new key."""
    folder = Path(mkdtemp(prefix="dcfnet-keys-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    with patch.dict(os.environ, {signing.FOLDER: str(folder)}):
        signing.own_key()
    return folder


@cache
def _signed() -> bytes:
    with patch.dict(os.environ, {signing.FOLDER: str(_keys())}):
        return _passport_of().signed()


def _read_signed(file: Path) -> None:
    with patch.dict(os.environ, {signing.FOLDER: str(_keys())}):
        Passport.read(file.read_bytes(), file.name)


def _read_keys(folder: Path) -> None:
    """Reads the key of a user and the trusted keys, as for every passport, and signs."""
    with patch.dict(os.environ, {signing.FOLDER: str(folder)}):
        signing.trusted_keys()
        signing.sign(b"content")


def _ranges() -> bytes:
    tensors = {"patches": [-120.0, 150.0], "conv0": [-3.0, 4.0], "conv1": [-3.0, 4.0], "relu0": [0.0, 4.0]}
    values = {"format": 1, "method": "percentile", "weights_sha256": "a", "patches": 4, "sensitive": ["conv0"]}
    return json.dumps(values | {"tensors": tensors}).encode()


@cache
def _state() -> bytes:
    """A tracker of raw pixels after one update."""
    frame, first = noise_target(PIPELINE)
    state, _ = step(PIPELINE, first, [frame])
    return state_bytes(PIPELINE, "Tracker", SavedTargets([0], 1, state))


def _restore(file: Path) -> None:
    """Restores the tracker and tracks two frames; all numbers of the results must be finite."""
    saved = read_state(file, PIPELINE, "Tracker")
    state, (frame, _) = saved.state, noise_target(PIPELINE)
    assert state is not None
    for given in (frame, np.roll(frame, 2, axis=1)):
        with np.errstate(all="raise", under="ignore"):
            state, (result,) = step(PIPELINE, state, [given])
        assert np.isfinite([*result.box, result.peak, result.psr, result.apce]).all(), result


def _with_valid_sum(file: Path) -> Path:
    """The file with the checksum of its content, so that damaged numbers are not refused because of their checksum."""
    try:
        with safe_open(file, framework="np") as content:
            metadata, names = dict(content.metadata() or {}), content.keys()
            tensors = {name: content.get_tensor(name) for name in names}
    except SafetensorError:
        return file
    file.write_bytes(save(tensors, metadata | {SUM_KEY: checksum(tensors, metadata)}))
    return file


READERS = (
    Reader("model.onnx", _model, load_model),
    Reader("large.onnx", (MODELS / SHIPPED["dcfnet"]).read_bytes, load_model),
    Reader("metadata.json", _metadata, _read_metadata),
    Reader("passport.json", _passport, _read_passport),
    Reader("signed.json", _signed, _read_signed),
    Reader("keys/signing_key.pem", lambda: (_keys() / signing.KEY).read_bytes(), lambda file: _read_keys(file.parent)),
    Reader("others/trusted/a.pub", lambda: b"q" * 43 + b"=", lambda file: _read_keys(file.parents[1])),
    Reader("ranges.json", _ranges, Ranges.read),
    Reader("fit.json", (MODELS / "deep.confidence.json").read_bytes, ConfidenceFit.read),
    Reader("tracker.state", _state, _restore),
    Reader("summed.state", _state, lambda file: _restore(_with_valid_sum(file))),
)
