"""Times of whole calls of `update`: a row for each load, as `dcfnet-bench gpu` measures it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import TENSOR_CORES
from dcfnet_evaluation.bench.gpu.command import MEMORIES
from dcfnet_evaluation.rendered import Clip

TARGETS = (1, 8, 64, 256)
REQUIRED = ((1, "pinned"), (64, "device"), (256, "device"))  # targets and memory that have a requirement: first
STREAMS = (4, 16)  # with one target each
PATCHES_PER_CALL = (16, 64, 256)  # of the backbone, timed with 64 targets
PRECISIONS = ("fp32", "fp16")  # of engines
ENGINE_BATCH = 64  # patches per call: the maximum and the optimum of the engine profile
WARM_UP, UPDATES = 20, 1000
Rows = Iterator[dict[str, Any]]


def times(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> Rows:
    """Rows with the default settings: all numbers of targets and kinds of memory, and several streams."""
    from dcfnet_evaluation.bench.gpu.speed import Load, sweep  # needs CuPy

    every = [(count, memory) for count in targets for memory in MEMORIES]
    ordered = [each for each in REQUIRED if each in every] + [each for each in every if each not in REQUIRED]
    loads = [Load(count, 1, memory) for count, memory in ordered]
    loads += [Load(targets[0], streams, "host") for streams in STREAMS]
    yield from sweep(clip, loads, updates, warm_up)


def settings(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> Rows:
    """Rows with other settings: tensor cores, without captures, patches in float32, other batches, copied frames.

    The last row is for frames in pinned memory that are copied; `times` has the row for frames that are read in place.
    """
    from dcfnet_evaluation.bench.gpu.speed import Load, Subject, sweep  # needs CuPy

    on_device = [Load(count, 1, "device") for count in targets]
    yield from sweep(clip, on_device, updates, warm_up, Subject(engine=TENSOR_CORES))
    yield from sweep(clip, on_device, updates, warm_up, Subject(backend={"captures": False}))
    yield from sweep(clip, on_device, updates, warm_up, Subject(patches="float32"))
    for count in PATCHES_PER_CALL:
        subject = Subject(backend={"patches_per_call": count})
        yield from sweep(clip, on_device[-2:-1], updates, warm_up, subject)
    copied = Subject(backend={"reads_in_place": False})
    yield from sweep(clip, [Load(targets[0], 1, "pinned")], updates, warm_up, copied)


def engines(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> Rows:
    """Rows for ONNX Runtime and for TensorRT engines built here. A row has an `error` if its engine is not usable."""
    from dcfnet_evaluation.bench.gpu.speed import Load, Subject, sweep  # needs CuPy

    loads = [Load(count, 1, "device") for count in targets]
    yield from sweep(clip, loads, updates, warm_up, Subject(engine="onnxruntime"))
    for precision in PRECISIONS:
        label = {"precision": precision}
        with TemporaryDirectory() as folder:
            file = Path(folder) / "dcfnet.engine"
            try:
                build(precision, file)
            except Exception as error:  # a library is missing or fails; the other precision is still tried
                yield {"engine": "tensorrt", **label, "error": str(error)}
                continue
            rows = sweep(clip, loads, updates, warm_up, Subject(model=file, engine="tensorrt"))
            yield from (label | row for row in rows)


def build(precision: str, file: Path) -> None:
    """Builds an engine of the model `dcfnet`. Raises DcfnetError, also if a library is missing."""
    from dcfnet.engines.flavour import open_flavour
    from dcfnet.engines.make import make_engine
    from dcfnet.engines.options import BuildOptions
    from dcfnet_export.precision import convert

    model = convert(load_model("dcfnet"), precision, "tensorrt")
    make_engine(model, file, BuildOptions.of(model, max_batch=ENGINE_BATCH, opt_batch=ENGINE_BATCH), open_flavour())
