"""State files: a tracker that goes on where another one stopped, and files that cannot be continued from."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dcfnet import CapacityError, MultiTracker, NotInitialisedError, SinkError, StateError, Tracker
from dcfnet.errors import MissingDependencyError
from dcfnet.lifecycle import state_file
from dcfnet_evaluation.rendered import Clip
from safetensors import safe_open
from safetensors.numpy import save

from tests.conftest import make_raw_pipeline

SMALL: dict[str, Any] = {"device": "cpu", "config": {"patch_size": 48}}


def started(clip: Clip, **changes: Any) -> Tracker:
    """A tracker on raw pixels, after two frames."""
    tracker = Tracker.of(make_raw_pipeline(**changes))
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    return tracker


@pytest.mark.parametrize("model", ["deep", "dcfnet"])
def test_a_restored_tracker_gives_the_boxes_of_the_uninterrupted_one(model: str, clip: Clip, tmp_path: Path) -> None:
    tracker, other = (Tracker(model, **SMALL) for _ in range(2))
    tracker.init(clip.frame(0), clip.box(0))
    for index in range(1, 6):
        tracker.update(clip.frame(index))
    tracker.save(tmp_path / "new folder" / "target.state")
    expected = [tracker.update(clip.frame(index)) for index in range(6, 16)]
    other.restore(str(tmp_path / "new folder" / "target.state"))
    assert other.box is not None
    assert [other.update(clip.frame(index)) for index in range(6, 16)] == expected


def test_a_restored_multitracker_has_the_same_ids_sources_and_boxes(clip: Clip, tmp_path: Path) -> None:
    many, other = MultiTracker("dcfnet", **SMALL), MultiTracker("dcfnet", **SMALL, capacity=4)
    removed, *ids = (many.add(clip.frame(0), clip.box(0), source) for source in (0, 7, -3))
    many.remove(removed)
    many.update({7: clip.frame(1), -3: clip.frame(2)})
    many.save(tmp_path / "targets.state")
    for _ in range(4):
        used = other.add(clip.frame(0), (40, 50, 36, 44))
    other.restore(tmp_path / "targets.state")
    assert other.targets == many.targets
    assert list(other.targets) == ids
    frames = {7: clip.frame(2), -3: clip.frame(3)}
    assert other.update(frames) == many.update(frames)
    assert other.add(clip.frame(0), clip.box(0)) == used + 1  # no id is used twice
    assert many.add(clip.frame(0), clip.box(0)) == 3


def test_a_multitracker_without_targets_can_be_saved(clip: Clip, tmp_path: Path) -> None:
    many = MultiTracker("dcfnet", **SMALL)
    many.remove(many.add(clip.frame(0), clip.box(0)))
    many.save(tmp_path / "none.state")
    other = MultiTracker("dcfnet", **SMALL)
    other.add(clip.frame(0), clip.box(0))
    other.restore(tmp_path / "none.state")
    assert other.targets == {}
    assert other.update(clip.frame(1)) == {}
    assert other.add(clip.frame(0), clip.box(0)) == 1


def test_a_state_with_more_targets_than_slots_raises(clip: Clip, tmp_path: Path) -> None:
    many, other = MultiTracker("dcfnet", **SMALL), MultiTracker("dcfnet", **SMALL, capacity=1)
    for _ in range(2):
        many.add(clip.frame(0), clip.box(0))
    many.save(tmp_path / "two.state")
    with pytest.raises(CapacityError, match=r"two\.state: it has 2 targets, this tracker has 1 slots; raise capacity"):
        other.restore(tmp_path / "two.state")


def test_save_before_init_and_to_a_folder_raises(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(NotInitialisedError, match="save before init"):
        Tracker.of(make_raw_pipeline()).save(tmp_path / "x.state")
    with pytest.raises(SinkError, match="cannot be written"):
        started(clip).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_safetensors_the_error_names_the_extra(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = started(clip)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "dcfnet.lifecycle.state_file")
    with pytest.raises(MissingDependencyError, match=r"pip install 'dcfnet\[state\]'"):
        tracker.save(tmp_path / "x.state")


# --- files that cannot be continued from ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracker(clip: Clip) -> Tracker:
    """One tracker for many files: it keeps its target."""
    return started(clip)


@pytest.fixture
def file(tracker: Tracker, tmp_path: Path) -> Path:
    """A state of the tracker, of a model with another name."""
    tracker.save(tmp_path / "bad.state")
    return edited(tmp_path / "bad.state", with_metadata("model", "another.onnx"))


Tensors = dict[str, np.ndarray]
Metadata = dict[str, str]


def edited(file: Path, edit: Callable[[Tensors, Metadata], object]) -> Path:
    """Changes the tensors and the metadata of a state file in place, and writes the checksum of the new content."""
    with safe_open(file, framework="np") as content:
        tensors, metadata = {name: content.get_tensor(name) for name in content.keys()}, content.metadata()  # noqa: SIM118
    edit(tensors, metadata)
    metadata["dcfnet.sha256"] = state_file.checksum(tensors, metadata)
    file.write_bytes(save(tensors, metadata))
    return file


def with_value(name: str, value: float) -> Callable[[Tensors, Metadata], object]:
    def edit(tensors: Tensors, _: Metadata) -> None:
        tensors[name].reshape(-1)[0] = value

    return edit


def with_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors, Metadata], object]:
    return lambda tensors, _: tensors.update({name: np.ascontiguousarray(change(tensors[name]))})


def with_metadata(name: str, value: str) -> Callable[[Tensors, Metadata], object]:
    return lambda _, metadata: metadata.update({f"dcfnet.{name}": value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (with_metadata("state", "6"), "state format '6', this version reads '9'; start again with init"),
        (with_value("light", 0), "its tensor 'light' has values outside 0.0625 to 16"),
        (with_value("light", 17), "its tensor 'light' has values outside 0.0625 to 16"),
        (with_value("level", -1), "its tensor 'level' has values outside 0 to 4080"),
        (with_metadata("kind", "MultiTracker"), "the state of a MultiTracker, not of a Tracker"),
        (with_metadata("model_sha256", "ab" * 32), r"another\.onnx \(SHA-256 abababababab\).*with that model"),
        (
            with_metadata("config", "{}"),
            r"other settings: patch_size=126 instead of 64; .*config=\{'patch_size': 126\}",
        ),
        (with_metadata("config", '{"wings": 2}'), "unknown setting wings"),
        (with_metadata("config", "[" * 20_000), "not those of this version"),
        (with_metadata("next_id", "0"), "its next id is '0', must be above 0"),
        (with_metadata("next_id", "9" * 5000), "its next id is '9"),
        (lambda _, metadata: metadata.pop("dcfnet.config"), r"its metadata lacks dcfnet\.config"),
        (lambda tensors, _: tensors.pop("typical"), r"its tensor 'typical' is missing, must be F64 \(1, 3\)"),
        (lambda tensors, _: tensors.update(more=np.zeros(3)), r"'more' is F64 \(3,\), must be missing"),
        (with_tensor("centre", lambda a: a.astype(np.float32)), r"'centre' is F32 \(1, 2\), must be F64"),
        (with_tensor("centre", lambda a: a.astype(np.float16)), "'centre' is F16"),
        (with_tensor("filters.numerator", lambda a: a[:, :, 1:]), r"'filters\.numerator' is F32 \(1, 3, "),
        (with_tensor("ids", lambda a: a[:, None]), r"'ids' is I64 \(1, 1\), must be I64 \(1,\)"),
        (with_value("centre", np.nan), "'centre' has values that are not finite"),
        (with_value("filters.first_f", np.inf), r"'filters\.first_f' has values that are not finite"),
        (with_value("size", -3.0), "'size' has values outside 1e-06 to 1e"),
        (with_value("typical", 1e300), "'typical' has values outside"),
        (with_value("filters.first_f", 3e38), r"'filters\.first_f' has values outside -10000 to 10000"),
        (with_value("filters.denominator", -1), r"'filters\.denominator' has values outside 0 to 1e\+12"),
        (with_value("filters.colours", 3e38), r"'filters\.colours' has values outside 0 to 1"),
        (with_value("source", 5), "it has 1 targets, must be one target of source 0"),
        (with_value("ids", -1), "its ids must be different whole numbers from 0 on"),
    ],
)
def test_the_error_names_the_difference_and_the_tracker_keeps_its_target(
    tracker: Tracker, file: Path, edit: Any, message: str
) -> None:
    before, box = tracker._state, tracker.box
    with pytest.raises(StateError, match=rf"bad\.state: .*{message}"):
        tracker.restore(edited(file, edit))
    assert tracker._state is before
    assert tracker.box == box


def oversized(content: bytes) -> bytes:
    """The header says that a tensor has 2 TB."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["centre"] = {"dtype": "F64", "shape": [2**37, 2], "data_offsets": [0, 2**41]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "it has 0 bytes"),
        (lambda content: content[:5], "it has 5 bytes"),
        (lambda content: content[:200], "it has 200 bytes"),
        (lambda content: content[:-1], "not a readable state file"),
        (lambda content: content + b"x", "not a readable state file"),
        (lambda content: b"\xff" * 8 + content[8:], "a header of 18446744073709551615 bytes, which must be at most"),
        (lambda content: (2**30).to_bytes(8, "little") + content[8:], "a header of 1073741824 bytes"),
        (lambda content: content[:8] + b"[" * 2000 + content[2008:], "not a readable state file"),
        (lambda content: b"a text file, not a state" * 100, "which must be at most"),
        (oversized, "not a readable state file"),
    ],
)
def test_a_damaged_file_raises_before_memory_is_reserved(
    tracker: Tracker, file: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(StateError, match=rf"bad\.state: .*{message}.*; save the state again"):
        tracker.restore(file)


def sha256_of(file: Path) -> str:
    """The checksum as docs/formats.md defines it, from the bytes of the file alone."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata, digest = header.pop("__metadata__"), hashlib.sha256()
    for key in sorted(set(metadata) - {"dcfnet.sha256"}):
        digest.update(f"{key}={metadata[key]}\n".encode())
    for name in sorted(header):
        first, last = header[name]["data_offsets"]
        digest.update(name.encode() + b"\n" + content[start + first : start + last])
    return digest.hexdigest()


def test_the_checksum_is_that_of_the_docs(tracker: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "target.state"
    tracker.save(file)
    with safe_open(file, framework="np") as content:
        assert content.metadata()["dcfnet.sha256"] == sha256_of(file)


def test_one_flipped_bit_anywhere_raises_and_the_tracker_keeps_its_target(tracker: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "flipped.state"
    tracker.save(file)
    content, before = file.read_bytes(), tracker._state
    start = 8 + int.from_bytes(content[:8], "little")
    next_id = content.index(b'"dcfnet.next_id":"1"') + 18
    for place in (next_id, start, len(content) - 1, *np.random.default_rng(0).integers(start, len(content), 40)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :])
        with pytest.raises(StateError, match=r"flipped\.state: it was damaged or edited .*; use another copy of the"):
            tracker.restore(file)
    assert tracker._state is before
    file.write_bytes(content)
    tracker.restore(file)


def test_tensors_of_other_shapes_are_not_read(tracker: Tracker, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited(file, with_tensor("centre", lambda a: np.zeros((5, 2))))
    opened = safe_open(file, framework="np")
    read: list[str] = []
    parts = {name: getattr(opened, name) for name in ("keys", "metadata", "get_slice")}
    recorded = nullcontext(SimpleNamespace(**parts, get_tensor=read.append))
    monkeypatch.setattr(state_file, "safe_open", lambda *_, **__: recorded)
    with pytest.raises(StateError, match="'centre' is F64"):
        tracker.restore(file)
    assert not read


@pytest.mark.parametrize("name", ["none.state", "."])
def test_a_missing_file_or_a_folder_raises(tracker: Tracker, tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError, match="no such file"):
        tracker.restore(tmp_path / name)


def test_a_failed_write_keeps_the_previous_file(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, file = started(clip), tmp_path / "target.state"
    tracker.save(file)
    before = file.read_bytes()

    def full_disk(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    tracker.update(clip.frame(2))
    with pytest.raises(SinkError, match="No space left"):
        tracker.save(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["target.state"]
