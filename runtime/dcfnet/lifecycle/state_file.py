"""The state file: the targets of a tracker between two frames, in one safetensors file.

Tensors have the target axis first. They are the host arrays of `TrackState` by name, float64, int64 or uint8; the
arrays of `Filters` as `filters.NAME`, float32, with a last axis (real, imaginary) for complex numbers; and `ids`,
int64 (N,).
This layout is the same for every backend. The metadata has the keys of METADATA_KEYS. Only this module of the package
imports safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import TrackerConfig
from dcfnet.devices.filters import ArrayFilters
from dcfnet.errors import CapacityError, ConfigError, MissingDependencyError, StateError
from dcfnet.lifecycle.state_rules import check_targets
from dcfnet.lifecycle.warm_up import noise_target
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save
except ImportError as error:
    raise MissingDependencyError("safetensors", "state") from error

FORMAT = "9"
FORMAT_KEY, KIND_KEY, MODEL_KEY, HASH_KEY, CONFIG_KEY, NEXT_KEY, SUM_KEY = METADATA_KEYS = (
    "dcfnet.state",  # FORMAT
    "dcfnet.kind",  # the class of the tracker: Tracker or MultiTracker
    "dcfnet.model",  # name of the model, for messages
    "dcfnet.model_sha256",  # see `ModelIdentity`
    "dcfnet.config",  # JSON, TrackerConfig.to_mapping()
    "dcfnet.next_id",  # the id of the next target that is added
    "dcfnet.sha256",  # see `checksum`
)
IDS, FILTERS = "ids", "filters."
MAX_HEADER = 2**16  # bytes: the largest header that is read; ours have about 3,000
COMPLEX = tuple(FILTERS + name for name in ("numerator", "filter_f", "focused_f", "first_f"))
TYPES = {"float64": "F64", "int64": "I64", "float32": "F32", "uint8": "U8"}  # NumPy's names -> those of safetensors
Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # type and shape of each tensor
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SavedTargets:
    """The targets in a state file. ids: of the targets, in the order of the state. state: None without targets."""

    ids: list[int]
    next_id: int
    state: TrackState | None


def state_bytes(pipeline: Pipeline, kind: str, targets: SavedTargets) -> bytes:
    """The content of a state file. Waits for the device."""
    tensors = {IDS: np.array(targets.ids, np.int64)}
    if targets.state is not None:
        tensors |= _pack(pipeline, targets.state)
    metadata = {
        FORMAT_KEY: FORMAT,
        KIND_KEY: kind,
        MODEL_KEY: pipeline.model.name,
        HASH_KEY: pipeline.model.sha256,
        CONFIG_KEY: json.dumps(pipeline.config.to_mapping()),
        NEXT_KEY: str(targets.next_id),
    }
    content: bytes = save(tensors, metadata | {SUM_KEY: checksum(tensors, metadata)})
    return content


def checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """The SHA-256 of the content, 64 hex digits: of NAME=VALUE and a line break for each other key of the metadata,
    then of NAME, a line break and the bytes of each tensor. Both are in the order of their names.
    """
    digest = sha256()
    for name in sorted(metadata.keys() - {SUM_KEY}):
        digest.update(f"{name}={metadata[name]}\n".encode())
    for name in sorted(tensors):
        digest.update(f"{name}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def read_state(file: Path, pipeline: Pipeline, kind: str, capacity: int | None = None) -> SavedTargets:
    """The targets in a state file, on the backend of the pipeline. capacity: see `TrackState.stored`.

    Memory is reserved only for tensors whose types and shapes are those of this pipeline.
    Raises StateError with the difference and the remedy, also for a content that is not that of its checksum, and
    CapacityError for more targets than `capacity`.
    """
    try:
        _check_size(file)
        with safe_open(file, framework="np") as content:
            metadata = content.metadata() or {}
            _check_metadata(file, metadata, pipeline, kind)
            with pipeline.backend.guarded():
                layout = _layout(pipeline)
            count = _check_tensors(file, content, layout)
            if capacity is not None and count > capacity:
                raise CapacityError(
                    f"{file}: it has {count} targets, this tracker has {capacity} slots; raise capacity"
                )
            names = content.keys()
            tensors = {name: content.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or error
        raise StateError(f"{file}: not a readable state file ({cause}); save the state again") from error
    _check_sum(file, tensors, metadata)
    ids = tensors.pop(IDS)
    next_id = check_targets(file, ids, tensors, metadata[NEXT_KEY], alone=kind == "Tracker")
    with pipeline.backend.guarded():
        return SavedTargets(ids.tolist(), next_id, _unpack(pipeline, tensors, capacity) if len(ids) else None)


def _pack(pipeline: Pipeline, state: TrackState) -> Tensors:
    """The tensors of a state, on the host."""
    arrays = {name: _widened(array) for name, array in state.host_arrays().items()}
    filters = {name: pipeline.backend.to_host(array) for name, array in state.filters.arrays.by_name().items()}
    return {**arrays, **{FILTERS + name: _real(array) for name, array in filters.items()}}


def _unpack(pipeline: Pipeline, tensors: Tensors, capacity: int | None) -> TrackState:
    """The state of tensors that were checked."""
    backend, arrays, filters = pipeline.backend, {}, {}
    for name, tensor in tensors.items():
        if name.startswith(FILTERS):
            values = tensor.view(np.complex64)[..., 0] if name in COMPLEX else tensor
            filters[name.removeprefix(FILTERS)] = backend.asarray(values)
        else:
            arrays[name] = tensor.astype(np.intp) if tensor.dtype == np.int64 else tensor
    return TrackState.stored(backend, pipeline, arrays, ArrayFilters(**filters), capacity)


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    """The array with int64 for whole numbers, contiguous."""
    return np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else array.dtype)


def _real(array: NDArray[Any]) -> NDArray[np.float32]:
    """Complex numbers as a last axis (real, imaginary); other arrays as they are; contiguous."""
    whole = np.ascontiguousarray(array)
    return whole.view(np.float32).reshape(*whole.shape, 2) if whole.dtype == np.complex64 else whole


def _layout(pipeline: Pipeline) -> Layout:
    """Type and shape of one target in each tensor. They come from a target of noise: only the backbone knows C."""
    _, state = noise_target(pipeline)
    try:
        return {name: (TYPES[str(tensor.dtype)], tensor.shape[1:]) for name, tensor in _pack(pipeline, state).items()}
    finally:
        state.filters.release()


def _check_size(file: Path) -> None:
    """Raises StateError for a file that is cut, or whose header is too long, before anything is reserved for it."""
    if not file.is_file():
        raise StateError(f"{file}: no such file; Tracker.save writes one")
    with file.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    size = file.stat().st_size
    if header > min(size - 8, MAX_HEADER):
        raise StateError(
            f"{file}: not a state file, or cut: it has {size} bytes and a header of {header} bytes, which must be at "
            f"most {MAX_HEADER} and fit into the file; save the state again"
        )


def _check_metadata(file: Path, metadata: Mapping[str, str], pipeline: Pipeline, kind: str) -> None:
    """Raises StateError if the file is of another version, class, model or config."""
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        raise StateError(f"{file}: not a state file: its metadata lacks {', '.join(missing)}; Tracker.save writes one")
    if metadata[FORMAT_KEY] != FORMAT:
        raise StateError(
            f"{file}: state format {metadata[FORMAT_KEY]!r}, this version reads {FORMAT!r}; start again with init"
        )
    if metadata[KIND_KEY] != kind:
        raise StateError(f"{file}: it is the state of a {metadata[KIND_KEY]}, not of a {kind}; restore it there")
    if metadata[HASH_KEY] != pipeline.model.sha256:
        raise StateError(
            f"{file}: it was saved with the model {metadata[MODEL_KEY]} (SHA-256 {metadata[HASH_KEY][:12]}), this "
            f"tracker has {pipeline.model.name} ({pipeline.model.sha256[:12]}); make a tracker with that model"
        )
    try:
        saved = TrackerConfig.from_mapping(json.loads(metadata[CONFIG_KEY]))
    except (ConfigError, TypeError, ValueError, RecursionError) as error:
        raise StateError(f"{file}: its settings are not those of this version ({error}); start again") from error
    if saved != pipeline.config:
        own, theirs = pipeline.config.changes_from(saved), saved.changes_from(pipeline.config)
        differences = ", ".join(f"{name}={theirs[name]!r} instead of {own[name]!r}" for name in theirs)
        raise StateError(
            f"{file}: it was saved with other settings: {differences}; make a tracker with config={theirs}"
        )


def _check_tensors(file: Path, content: Any, layout: Layout) -> int:
    """The number of targets. Raises StateError for missing tensors, other types or shapes. Reads the header alone."""
    names = content.keys()
    found = {name: content.get_slice(name) for name in names}
    shapes: dict[str, tuple[int, ...]] = {name: tuple(tensor.get_shape()) for name, tensor in found.items()}
    count = (shapes.get(IDS) or (0,))[0]
    expected: dict[str, tuple[str, tuple[int, ...]]] = {IDS: ("I64", (count,))}
    expected |= {name: (kind, (count, *shape)) for name, (kind, shape) in layout.items()} if count else {}
    actual = {name: (str(found[name].get_dtype()), shape) for name, shape in shapes.items()}
    for name in sorted(expected.keys() | actual.keys()):
        if actual.get(name) != expected.get(name):
            raise StateError(
                f"{file}: its tensor {name!r} is {_shown(actual.get(name))}, must be {_shown(expected.get(name))} for "
                f"{count} targets of this tracker; save the state again"
            )
    return count


def _check_sum(file: Path, tensors: Tensors, metadata: Mapping[str, str]) -> None:
    """Raises StateError if a byte of the content was changed after `save`."""
    actual, saved = checksum(tensors, metadata), metadata[SUM_KEY]
    if actual != saved:
        raise StateError(
            f"{file}: it was damaged or edited after it was saved: the SHA-256 of its content is {actual[:12]}, must "
            f"be {saved[:12]}; use another copy of the file, or start again with init"
        )


def _shown(entry: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if entry is None else f"{entry[0]} {entry[1]}"
