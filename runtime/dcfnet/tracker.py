"""Tracker and MultiTracker: thin shells that hold a state between frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcfnet.backbones import HOST_ENGINES, open_backbone
from dcfnet.backend import Frame, select
from dcfnet.config import DEFAULT_PRESET, TrackerConfig
from dcfnet.errors import CapacityError, ConfigError, InvalidBoxError, NotInitialisedError, UnknownTargetError
from dcfnet.geometry import Box, target_box
from dcfnet.layers import refusal
from dcfnet.model import Model, load_model
from dcfnet.pipeline import Pipeline
from dcfnet.pixels import frame_size
from dcfnet.result import Result
from dcfnet.state import TrackState
from dcfnet.steps import init, step
from dcfnet.warmup import warm_up

MAX_SOURCE = 2**31 - 1
MAX_CAPACITY = 2**16
Frames = Frame | Mapping[int, Frame | None] | None
ConfigLike = TrackerConfig | Mapping[str, Any] | str | None


def open_pipeline(
    model: str | Path | None = None,
    device: str = "auto",
    config: ConfigLike = None,
    engine: str = "auto",
    preset: str | None = None,
) -> Pipeline:
    """The pipeline of a model file; see `Tracker` for the arguments."""
    loaded = load_model(model)
    chosen = _config(config, preset, loaded)
    if device == "cpu" and loaded.engine is not None and engine in ("auto", "tensorrt"):
        raise ConfigError(f"device='cpu': {loaded.name} is an engine, for GPUs; {loaded.name}.onnx beside it runs here")
    backend = select("cpu" if device == "auto" and _for_the_host(loaded, engine) else device)
    with backend.guarded():
        backbone = open_backbone(loaded, engine, chosen.patch_size, backend.name)
        return Pipeline.build(chosen, backend, backbone, loaded.mean, loaded.stride, loaded.folded)


def _for_the_host(model: Model, engine: str) -> bool:
    """Whether the engine asked for, or the only one for such a file, takes arrays of the host alone."""
    return engine in HOST_ENGINES or (engine == "auto" and model.engine is None and refusal(model) is not None)


def _config(config: ConfigLike, preset: str | None, model: Model) -> TrackerConfig:
    """The constants in force. Whole constants leave no room for a preset; changes are made to one."""
    if config is None or isinstance(config, Mapping):
        return model.preset(preset or DEFAULT_PRESET).replace(**(config or {}))
    if preset is not None:
        raise ConfigError(f"preset={preset!r} and config={config!r}: give one, or the config as a mapping of changes")
    if isinstance(config, TrackerConfig):
        return config
    if isinstance(config, str):
        return TrackerConfig.named(config)
    raise ConfigError(f"config={config!r}: must be a TrackerConfig, a mapping of settings or a name")


class Tracker:
    """Follows one target. Not thread-safe; trackers are independent of each other.

    model: a file that dcfnet-export wrote; None is the shipped one. device: "cpu", "cuda", or "auto", see `select`;
    with an engine, or a file, that is for the CPU alone, "auto" is the CPU (docs/gpu.md).
    preset: the operating point, "accurate", "balanced" (where None is given) or "fast", as the model file has it.
    config: a mapping of settings to change in it; or, in its place, a whole TrackerConfig or the name of one ("paper",
    "released", "default"). engine: what runs the backbone, see `open_backbone`.
    Raises ModelError, ConfigError, MissingDependencyError and DeviceError.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        config: ConfigLike = None,
        *,
        engine: str = "auto",
        preset: str | None = None,
    ) -> None:
        self._pipeline = open_pipeline(model, device, config, engine, preset)
        self._state: TrackState | None = None

    @classmethod
    def of(cls, pipeline: Pipeline) -> Tracker:
        """A tracker on a pipeline that is there already: several may share one, in one thread."""
        tracker = cls.__new__(cls)
        tracker._pipeline, tracker._state = pipeline, None
        return tracker

    @property
    def config(self) -> TrackerConfig:
        """The constants in force."""
        return self._pipeline.config

    def init(self, frame: Frame, box: Box | Sequence[float]) -> None:
        """Learns the target in `box` of the frame; a second call starts anew with another target.

        frame: uint8 (H, W, 3) BGR; BGRA and grey are accepted, others as `Rgb` and `Nv12`. On a GPU also what lies on
        it and has DLPack or a `__cuda_array_interface__`. box: x, y, w, h, frame pixels, 0-based.
        Raises InvalidFrameError and InvalidBoxError; the tracker then still follows what it followed before.
        """
        self._pipeline.turns.settle()
        self._state = _init_one(self._pipeline, frame, box)

    def warm_up(self) -> None:
        """Does beforehand what a first frame would wait for, so that its box is not late; what is followed stays.

        First calls of the network, and on a GPU kernels, memory and captures. Raises DeviceError as `update`.
        """
        self._pipeline.turns.settle()
        warm_up(self._pipeline)

    def update(self, frame: Frame | None) -> Result:
        """Finds the target in the next frame. Raises NotInitialisedError before `init`, and nothing else on a CPU.

        On a GPU DeviceError where it fails, where another GPU is current, and in a forked process.
        """
        self._pipeline.turns.settle()
        return self._update(frame)

    def update_async(self, frame: Frame | None) -> Future[Result]:
        """Queues `update` and returns at once; `result()` of what it returns waits, and raises what `update` does.

        Frames are taken in the order given, one at a time, on one thread of the pipeline; all other methods wait for
        those that are queued. A frame must stay as it is until its result is there. As many are queued as are given:
        wait for results to keep pace.
        """
        return self._pipeline.turns.queue(self._pipeline.backend.carried(), partial(self._update, frame))

    def _update(self, frame: Frame | None) -> Result:
        if self._state is None:
            raise NotInitialisedError("update before init: call init(frame, box) with the target's first box")
        with self._pipeline.backend.guarded():
            self._state, results = step(self._pipeline, self._state, [frame])
        return results[0]


class MultiTracker:
    """Follows many targets, in one camera or several, as one batch. Arguments as in `Tracker`. Not thread-safe.

    capacity: the most targets at a time; on a GPU room for them is laid out at once, which else grows as they come.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        config: ConfigLike = None,
        *,
        engine: str = "auto",
        preset: str | None = None,
        capacity: int | None = None,
    ) -> None:
        if capacity is not None and (not isinstance(capacity, int) or not 1 <= capacity <= MAX_CAPACITY):
            raise ConfigError(f"capacity={capacity!r}: must be a whole number from 1 to {MAX_CAPACITY}")
        self._capacity = capacity
        self._pipeline = open_pipeline(model, device, config, engine, preset)
        self._state: TrackState | None = None
        self._ids: list[int] = []  # id of every row of the state
        self._next_id = 0

    @property
    def config(self) -> TrackerConfig:
        """The constants in force."""
        return self._pipeline.config

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, frame: Frame, box: Box | Sequence[float], source: int = 0) -> int:
        """Learns another target; returns its id, which is never used again.

        frame, box: as in `Tracker.init`. source: the camera the frame comes from, any whole number.
        Raises InvalidFrameError, InvalidBoxError, ConfigError, and CapacityError where there is no room for it; the
        other targets are untouched.
        """
        self._pipeline.turns.settle()
        if not isinstance(source, int) or abs(source) > MAX_SOURCE:
            raise ConfigError(f"source={source!r}: must be a whole number, as the key of its frame in update")
        if len(self) == self._capacity:
            raise CapacityError(f"more targets than slots: there is room for {len(self)}; remove one, or ask for more")
        added = _init_one(self._pipeline, frame, box).replace(source=np.array([source], dtype=np.intp))
        with self._pipeline.backend.guarded():
            parts = [added] if self._state is None else [self._state, added]
            self._state = TrackState.joined(parts, self._capacity)
        self._ids.append(self._next_id)
        self._next_id += 1
        return self._ids[-1]

    def remove(self, target: int) -> None:
        """Forgets a target. Raises UnknownTargetError for an id that is not tracked."""
        self._pipeline.turns.settle()
        if target not in self._ids or self._state is None:
            raise UnknownTargetError(f"no target {target}; there are {self._ids}")
        kept = np.array([i for i, id_ in enumerate(self._ids) if id_ != target], dtype=np.intp)
        self._state = self._state.take(kept) if len(kept) else None
        self._ids.remove(target)

    def warm_up(self) -> None:
        """As `Tracker.warm_up`; with a capacity for that many targets, without for one."""
        self._pipeline.turns.settle()
        warm_up(self._pipeline, self._capacity)

    def update(self, frames: Frames) -> dict[int, Result]:
        """Finds the targets in the next frames: {id: result}. Raises nothing on a CPU, on a GPU as `Tracker.update`.

        frames: {source: frame}, or one frame, which is that of source 0. Targets of sources that are not given stay
        as they are and have no result, so cameras may run at their own pace.
        """
        self._pipeline.turns.settle()
        return self._update(frames)

    def update_async(self, frames: Frames) -> Future[dict[int, Result]]:
        """As `Tracker.update_async`. A mapping is copied, its frames are not."""
        given = dict(frames) if isinstance(frames, Mapping) else frames
        return self._pipeline.turns.queue(self._pipeline.backend.carried(), partial(self._update, given))

    def _update(self, frames: Frames) -> dict[int, Result]:
        given = frames if isinstance(frames, Mapping) else {0: frames}
        if self._state is None:
            return {}
        rows = np.flatnonzero([int(source) in given for source in self._state.source])
        if not len(rows):
            return {}
        numbered = {source: index for index, source in enumerate(given)}  # sources -> places in the batch
        with self._pipeline.backend.guarded():
            part = self._state.take(rows)
            sources = part.source
            batch = part.replace(source=np.array([numbered[int(s)] for s in sources], dtype=np.intp))
            batch, results = step(self._pipeline, batch, list(given.values()))
            self._state = self._state.put(rows, batch.replace(source=sources))
        return {self._ids[row]: result for row, result in zip(rows, results, strict=True)}


def _init_one(pipeline: Pipeline, frame: Frame, box: Box | Sequence[float]) -> TrackState:
    backend = pipeline.backend
    with backend.guarded():
        checked = backend.frame(frame)
        target = target_box(box, frame_size(checked))
        region = pipeline.regions(np.array(target.size))
        if not backend.textured([checked], np.zeros(1, np.intp), np.array([target.centre]), region[None])().all():
            raise InvalidBoxError(f"{target}: the frame is one flat colour there; there is nothing to follow")
        return init(pipeline, [checked], [target], sources=[0])
