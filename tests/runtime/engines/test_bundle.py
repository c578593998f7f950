"""Engines on disk: what was altered, is foreign or is no file is refused before anything could run it."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from dcfnet.engines import make
from dcfnet.engines.bundle import read_engine
from dcfnet.engines.flavour import Flavour
from dcfnet.engines.make import make_engine, note_verification
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import EngineError, ModelError
from dcfnet.model import load_model
from dcfnet.sinks import write_whole


def flip(file: Path, position: int) -> bytes:
    """Flips one bit of one byte in place; what the file held before."""
    before = file.read_bytes()
    position %= len(before)
    file.write_bytes(before[:position] + bytes([before[position] ^ 1]) + before[position + 1 :])
    return before


def test_an_engine_is_the_model_it_was_built_from(engine: Path) -> None:
    model, shipped = read_engine(engine), load_model()
    assert model.engine is not None
    assert model.engine.plan == engine.read_bytes()
    assert (model.onnx, model.config, model.presets) == (shipped.onnx, shipped.config, shipped.presets)
    assert load_model(engine).engine == model.engine


def test_the_plan_is_pure(engine: Path) -> None:
    """Other loaders take it as it is: it begins as the builder's own bytes do, and the passport lies beside it."""
    assert engine.read_bytes()[:8] in (b"vtrt\0\0\0\0", b"ftrt\0\0\0\0")
    assert json.loads(Path(f"{engine}.json").read_text())["passport"]["flavour"] == "tensorrt_rtx"


@pytest.mark.parametrize("suffix", ["", ".json", ".onnx"])
def test_one_flipped_bit_anywhere_is_refused(engine: Path, suffix: str) -> None:
    file = Path(str(engine) + suffix)
    step = 13 if suffix == ".json" else max(file.stat().st_size // 9, 1)
    for position in [*range(0, file.stat().st_size, step), -1]:
        before = flip(file, position)
        if json_differs(suffix, before, file.read_bytes()):
            with pytest.raises((EngineError, ModelError)) as told:
                read_engine(engine)
            assert str(engine) in str(told.value)
        file.write_bytes(before)
    read_engine(engine)


def json_differs(suffix: str, before: bytes, after: bytes) -> bool:
    """Whether a flipped bit says something else: between two words of JSON it may not."""
    try:
        return suffix != ".json" or json.loads(before) != json.loads(after)
    except ValueError:
        return True


def test_a_truncated_engine_is_named_with_both_hashes(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"SHA-256 .* its passport says .* build it anew"):
        read_engine(engine)


@pytest.mark.parametrize("suffix", ["", ".json", ".onnx"])
def test_what_is_no_file_is_refused(engine: Path, suffix: str) -> None:
    file = Path(str(engine) + suffix)
    file.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        read_engine(engine)
    file.mkdir()
    with pytest.raises(EngineError, match="not a regular file"):
        read_engine(engine)
    file.rmdir()
    os.mkfifo(file)  # a pipe that nobody writes into must not be waited for
    with pytest.raises(EngineError, match="not a regular file"):
        read_engine(engine)


def test_a_symlink_is_followed_to_the_three_files(engine: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "latest.engine"
    link.parent.mkdir()
    link.symlink_to(engine)
    assert read_engine(link).engine == read_engine(engine).engine


@pytest.mark.parametrize("target", ["loop.engine", ".", "nowhere.engine"])
def test_a_symlink_must_end_at_a_file(tmp_path: Path, target: str) -> None:
    link = tmp_path / "loop.engine"
    link.symlink_to(tmp_path / target)
    with pytest.raises(EngineError, match=r"loop\.engine"):
        read_engine(link)


def test_an_engine_of_somebody_else_is_refused_until_the_key_is_trusted(engine: Path, keys: Path) -> None:
    public = json.loads(Path(f"{engine}.json").read_text())["key"]
    (keys / "signing_key.pem").unlink()
    with pytest.raises(EngineError, match="whom nobody trusts here"):
        read_engine(engine)
    (keys / "trusted").mkdir()
    (keys / "trusted" / "factory.pub").write_text(public + "\n")
    assert read_engine(engine).engine


def test_a_passport_that_was_altered_and_hashed_again_is_refused(engine: Path) -> None:
    """Who alters an engine and its hash, without the key, gets no further."""
    sidecar = Path(f"{engine}.json")
    flip(engine, 100)
    document = json.loads(sidecar.read_text())
    document["passport"]["engine_sha256"] = make.digest(engine.read_bytes())
    sidecar.write_text(json.dumps(document))
    with pytest.raises(EngineError, match="altered since it was signed"):
        read_engine(engine)


def test_an_unsigned_passport_is_refused(engine: Path) -> None:
    sidecar = Path(f"{engine}.json")
    document = json.loads(sidecar.read_text())
    del document["signature"]
    sidecar.write_text(json.dumps(document))
    with pytest.raises(EngineError, match="lacks signature: it is not signed"):
        read_engine(engine)


def test_a_model_whose_weights_climb_out_of_its_folder_is_refused(rtx: Flavour, tmp_path: Path) -> None:
    """CVE-2022-25882 and its successors: a path in an ONNX file that leads elsewhere is never opened."""
    proto = onnx.load_from_string(load_model().onnx)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")
    file = tmp_path / "m.onnx"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="weights lie in other files"):
        load_model(file)


def test_external_data_of_a_constant_node_is_found(tmp_path: Path) -> None:
    proto = onnx.load_from_string(load_model().onnx)
    value = onnx.TensorProto(dims=[1], data_type=1, name="c", data_location=onnx.TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="/dev/zero")
    proto.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=value))
    file = tmp_path / "m.onnx"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="weights lie in other files"):
        load_model(file)


def test_the_same_request_finds_the_engine_standing_and_another_builds_it(engine: Path, rtx: Flavour) -> None:
    model = load_model()
    asked = BuildOptions.of(model, compute_capabilities="8.6,8.9")
    assert make_engine(model, engine, asked, rtx)[1]
    others = [
        asked.replace(compute_capabilities="8.6"),
        asked.replace(max_batch=4),
        asked.replace(tf32=True),
        asked.replace(optimisation_level=2),
    ]
    for options in others:
        assert not make_engine(model, engine, options, rtx)[1], options
        assert make_engine(model, engine, options, rtx)[1], options
    flip(engine, 5)
    assert not make_engine(model, engine, others[-1], rtx)[1]
    read_engine(engine)


def test_a_kill_while_writing_leaves_nothing_that_runs(
    engine: Path, rtx: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passport of the engine before must not vouch for half of the one after it."""
    honest, moved = os.replace, []

    def killed(partial: Path, file: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(file)
        honest(partial, file)

    monkeypatch.setattr(os, "replace", killed)
    model = load_model()
    with pytest.raises(KeyboardInterrupt):
        make_engine(model, engine, BuildOptions.of(model), rtx)
    assert moved == [Path(f"{engine}.onnx"), engine]
    with pytest.raises(EngineError):
        read_engine(engine)


def test_two_that_write_one_file_do_not_break_each_other(tmp_path: Path) -> None:
    file = tmp_path / "shared"
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_whole, bytes([number]) * 1000, file) for number in range(200)]:
            done.result()
    assert len(set(file.read_bytes())) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared"]


def test_what_was_verified_is_signed_into_the_passport(engine: Path) -> None:
    note_verification(engine, {"auc": 0.7})
    found = read_engine(engine).engine
    assert found is not None
    assert found.passport.verification == {"auc": 0.7}


def test_the_signing_key_is_the_users_alone(engine: Path, keys: Path) -> None:
    assert (keys / "signing_key.pem").stat().st_mode & 0o077 == 0


def test_a_broken_key_is_named(engine: Path, keys: Path) -> None:
    (keys / "signing_key.pem").write_text("not a key")
    with pytest.raises(EngineError, match=r"signing_key\.pem: not a usable signing key .* remove it"):
        read_engine(engine)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"surprise": 1}, "has surprise"),
        ({"options": {"max_batch": 0}}, "max_batch=0"),
        ({"options": {"shape": 3}}, "unknown setting shape"),
        ({"inputs": [{"name": "patches"}]}, "'dtype'"),
        ({"precision": "fp16"}, "precision: fp16 in the passport, fp32 in the model"),
        ({"weights_sha256": "0"}, "weights_sha256: 0 in the passport"),
    ],
)
def test_a_signed_passport_that_makes_no_sense_is_named(engine: Path, change: dict[str, object], shown: str) -> None:
    """Of another version of this package, say: the signature holds, and still it is read with care."""
    from dcfnet.engines import passport, signing

    sidecar = Path(f"{engine}.json")
    content = json.loads(sidecar.read_text())["passport"] | change
    public, signature = signing.sign(passport._canonical(content))
    sidecar.write_text(
        json.dumps({"format": passport.FORMAT, "passport": content, "key": public, "signature": signature})
    )
    with pytest.raises(EngineError) as told:
        read_engine(engine)
    assert shown in str(told.value)
