"""Damaged copies of small valid files, for every reader of the project that reads what others wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
from dcfnet.backbones.loading import load_model
from dcfnet.config import TrackerConfig
from dcfnet.engines.builder import Binding
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport, _document
from dcfnet.errors import DcfnetError
from dcfnet.io.decoding.images import read_image
from dcfnet.io.source_frame import SourceFrame
from dcfnet.io.sources import open_source
from dcfnet.model.file import LEVELS_KEY, SHIPPED, read_metadata
from dcfnet_evaluation.bench.sheet import read_bench
from dcfnet_evaluation.datasets.ilsvrc_vid import _read as read_ilsvrc
from dcfnet_evaluation.published import read_table
from dcfnet_evaluation.sequences import SequenceError, read_boxes
from dcfnet_evaluation.sheet import read_sheet
from dcfnet_export.deep_graph import ConfidenceFit
from dcfnet_export.ranges import Ranges
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.crop_manifest import Clip, CropSettings, Manifest
from dcfnet_train.recipe import FOLDER, Recipe
from dcfnet_train.training_set.manifest import SHIPPED as FOOTAGE
from dcfnet_train.training_set.manifest import load_manifest

from tests.runtime.bags.recordings import image, in_order, record

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "runtime/dcfnet/model/shipped"
ERRORS = (DcfnetError, SequenceError)
ODD: tuple[Any, ...] = (None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 99, [], {}, [[1]])


@dataclass(frozen=True)
class Reader:
    """A reader of files. name: of the file. content: of a valid one. read: raises one of ERRORS for an invalid one."""

    name: str
    content: Callable[[], bytes]
    read: Callable[[Path], object]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four faults: values of JSON that are replaced, and bytes that are changed, lost or added."""
    if content[:1] == b"{" and rng.random() < 0.6:
        value = json.loads(content)
        for _ in range(rng.integers(1, 4)):
            value = _with_an_odd_value(value, rng)
        return json.dumps(value).encode()
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(content) + 1))
        end = min(start + int(rng.choice([0, 1, 1, 4, 50, 10**9])), len(content))
        put = [b"", rng.bytes(end - start), b"\0" * 8, b"9" * 20, b"\xff", b"[" * 20_000][int(rng.integers(6))]
        content = content[:start] + put[: 10**6] + content[end:]
    return content


def _with_an_odd_value(value: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value with one part replaced, removed or renamed."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or rng.random() < 0.1:
        return ODD[int(rng.integers(len(ODD)))]
    key = keys[int(rng.integers(len(keys)))]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(copy, dict) and rng.random() < 0.2:
        part = copy.pop(key)
        return copy | ({} if rng.random() < 0.5 else {f"{key}x": part})
    copy[key] = _with_an_odd_value(value[key], rng)
    return copy


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


def _passport() -> bytes:
    binding = (Binding("patches", "float32", (-1, 3, 108, 108)),)
    model = load_model("dcfnet")
    texts = dict.fromkeys(("engine_sha256", "onnx_sha256", "weights_sha256", "flavour", "version", "built_on"), "a")
    texts |= dict.fromkeys(("cuda", "driver", "precision", "made_by"), "b")
    passport = Passport(
        **texts,
        options=BuildOptions.of(model),
        inputs=binding,
        outputs=binding,
        config=TrackerConfig().to_mapping(),
    )
    return json.dumps({"format": "dcfnet-engine-1", "passport": asdict(passport), "key": "", "signature": ""}).encode()


def _read_passport(file: Path) -> None:
    Passport.of(_document(file.read_bytes(), file.name)["passport"], file.name)


def _ranges() -> bytes:
    tensors = {"patches": [-120.0, 150.0], "conv0": [-3.0, 4.0], "conv1": [-3.0, 4.0], "relu0": [0.0, 4.0]}
    values = {"format": 1, "method": "percentile", "weights_sha256": "a", "patches": 4, "sensitive": ["conv0"]}
    return json.dumps(values | {"tensors": tensors}).encode()


def _crops() -> bytes:
    clips = {"one": asdict(Clip(3, 99, "a" * 64, "film"))}
    settings = CropSettings().to_mapping()
    return json.dumps({"format": "dcfnet-crops-1", "places": ["a"], "settings": settings, "clips": clips}).encode()


def _footage() -> bytes:
    return FOOTAGE.read_bytes()[:2500].rpartition(b",\n")[0] + b"\n]\n"


@cache
def _bag(suffix: str) -> bytes:
    pictures = np.random.default_rng(0).integers(0, 255, (6, 8, 12, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        messages = in_order(image(picture, "bgr8") for picture in pictures)
        return record(Path(folder) / f"bag{suffix}", messages).read_bytes()


def _read_bag(file: Path) -> list[SourceFrame]:
    return list(open_source(file))


def _image() -> bytes:
    return cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


SCORES, BENCH = (ROOT / "benchmarks/results" / name for name in ("otb_deep_2026-11-29.json", "bench_2026-11-25.json"))
BOXES = b"10,20,30,40\n11\t21 30;40\nNaN,NaN,NaN,NaN\n" * 3
XML = (
    b'<?xml version="1.0"?><annotation><object><trackid>0</trackid><bndbox><xmax>9</xmax><xmin>1</xmin>'
    b"<ymax>9</ymax><ymin>1</ymin></bndbox></object></annotation>"
)
READERS = (
    Reader("model.onnx", _model, load_model),
    Reader("large.onnx", (MODELS / SHIPPED["dcfnet"]).read_bytes, load_model),
    Reader("metadata.json", _metadata, _read_metadata),
    Reader("passport.json", _passport, _read_passport),
    Reader("ranges.json", _ranges, Ranges.read),
    Reader("fit.json", (MODELS / "deep.confidence.json").read_bytes, ConfidenceFit.read),
    Reader("scores.json", SCORES.read_bytes, read_sheet),
    Reader("bench.json", BENCH.read_bytes, read_bench),
    Reader("manifest.json", _crops, lambda file: Manifest.load(file.parent)),
    Reader("net.safetensors", (MODELS / "dcfnet.safetensors").read_bytes, load_checkpoint),
    Reader("recipe.toml", (FOLDER / "default.toml").read_bytes, lambda file: Recipe.load(str(file))),
    Reader("footage.toml", _footage, load_manifest),
    Reader("boxes.txt", lambda: BOXES, read_boxes),
    Reader("table.csv", lambda: b"tracker,sequence,auc,prec20\na,b,0.5,0.6\nc,d,nan,nan\n", read_table),
    Reader("frame.xml", lambda: XML, lambda file: list(read_ilsvrc(file))),
    Reader("image.png", _image, read_image),
    *(Reader(f"bag{suffix}", partial(_bag, suffix), _read_bag) for suffix in (".mcap", ".db3", ".bag")),
)


def attempt(reader: Reader, folder: Path, seed: int) -> bool:
    """Reads one damaged copy. Returns whether it was accepted. Any error that is not in ERRORS is passed on."""
    file = folder / reader.name
    file.write_bytes(damaged(reader.content(), np.random.default_rng(seed)))
    try:
        reader.read(file)
    except ERRORS:
        return False
    return True
