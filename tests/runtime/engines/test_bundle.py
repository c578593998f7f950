"""Engines on disk: changed, untrusted and unreadable files are rejected before an engine runs."""

from __future__ import annotations

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.engines import make, signing
from dcfnet.engines.bundle import EngineModel, read_engine
from dcfnet.engines.flavour import Flavour
from dcfnet.engines.make import make_engine, note_verification
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import EngineError, ModelError
from dcfnet.io.files import write_atomically


def flip(file: Path, position: int) -> bytes:
    """Flips one bit of the file. Returns the previous content."""
    before = file.read_bytes()
    position %= len(before)
    file.write_bytes(before[:position] + bytes([before[position] ^ 1]) + before[position + 1 :])
    return before


def test_an_engine_has_the_model_it_was_built_from(engine: Path) -> None:
    model, shipped = read_engine(engine), load_model("dcfnet")
    assert model.plan == engine.read_bytes()
    assert (model.onnx, model.config, model.presets) == (shipped.onnx, shipped.config, shipped.presets)
    loaded = load_model(engine)
    assert isinstance(loaded, EngineModel)
    assert (loaded.plan, loaded.passport) == (model.plan, model.passport)


def test_the_plan_contains_only_the_bytes_of_the_builder(engine: Path) -> None:
    """So other programs can load it. The passport is a separate file."""
    assert engine.read_bytes()[:8] in (b"vtrt\0\0\0\0", b"ftrt\0\0\0\0")
    assert json.loads(Path(f"{engine}.json").read_text())["passport"]["flavour"] == "tensorrt_rtx"


@pytest.mark.parametrize("suffix", ["", ".json", ".onnx"])
def test_a_flipped_bit_in_any_file_is_rejected(engine: Path, suffix: str) -> None:
    file = Path(str(engine) + suffix)
    step = 13 if suffix == ".json" else max(file.stat().st_size // 9, 1)
    for position in [*range(0, file.stat().st_size, step), -1]:
        before = flip(file, position)
        if content_differs(suffix, before, file.read_bytes()):
            with pytest.raises((EngineError, ModelError)) as caught:
                read_engine(engine)
            assert str(engine) in str(caught.value)
        file.write_bytes(before)
    read_engine(engine)


def content_differs(suffix: str, before: bytes, after: bytes) -> bool:
    """Whether a flipped bit changes the content. In the whitespace of JSON it may not."""
    try:
        return suffix != ".json" or json.loads(before) != json.loads(after)
    except ValueError:
        return True


def test_the_error_for_a_truncated_engine_gives_both_hashes(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(
        EngineError, match=r"its SHA-256 is .* its passport says .* build it again \(dcfnet-run --rebuild\)"
    ):
        read_engine(engine)


@pytest.mark.parametrize("suffix", ["", ".json", ".onnx"])
def test_missing_files_folders_and_pipes_are_rejected(engine: Path, suffix: str) -> None:
    file = Path(str(engine) + suffix)
    file.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        read_engine(engine)
    file.mkdir()
    with pytest.raises(EngineError, match="not a regular file"):
        read_engine(engine)
    file.rmdir()
    os.mkfifo(file)  # reading must not wait for a pipe without a writer
    with pytest.raises(EngineError, match="not a regular file"):
        read_engine(engine)


def test_a_symlink_to_an_engine_is_followed(engine: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "latest.engine"
    link.parent.mkdir()
    link.symlink_to(engine)
    linked, expected = read_engine(link), read_engine(engine)
    assert (linked.plan, linked.passport) == (expected.plan, expected.passport)


@pytest.mark.parametrize("target", ["loop.engine", ".", "nowhere.engine"])
def test_a_symlink_must_end_at_a_file(tmp_path: Path, target: str) -> None:
    link = tmp_path / "loop.engine"
    link.symlink_to(tmp_path / target)
    with pytest.raises(EngineError, match=r"loop\.engine"):
        read_engine(link)


def test_an_engine_of_another_user_is_rejected_until_its_key_is_trusted(engine: Path, keys: Path) -> None:
    public = json.loads(Path(f"{engine}.json").read_text())["key"]
    (keys / "signing_key.pem").unlink()
    with pytest.raises(EngineError, match="which is not trusted here; build the engine again, or"):
        read_engine(engine)
    (keys / "trusted").mkdir()
    (keys / "trusted" / "factory.pub").write_text(public + "\n")
    assert read_engine(engine).is_engine


def test_a_changed_passport_with_a_new_hash_is_rejected(engine: Path) -> None:
    """Without the key, an attacker cannot change an engine and its hash."""
    passport_file = Path(f"{engine}.json")
    flip(engine, 100)
    document = json.loads(passport_file.read_text())
    document["passport"]["engine_sha256"] = make.digest(engine.read_bytes())
    passport_file.write_text(json.dumps(document))
    with pytest.raises(
        EngineError, match="changed after it was signed: its signature is invalid; build the engine again"
    ):
        read_engine(engine)


def test_an_unsigned_passport_is_rejected(engine: Path) -> None:
    passport_file = Path(f"{engine}.json")
    document = json.loads(passport_file.read_text())
    del document["signature"]
    passport_file.write_text(json.dumps(document))
    with pytest.raises(EngineError, match="lacks signature, so it is not signed; build the engine again"):
        read_engine(engine)


def test_a_model_with_weights_outside_its_folder_is_rejected(rtx: Flavour, tmp_path: Path) -> None:
    """CVE-2022-25882 and its successors: a path in an ONNX file is never opened."""
    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")
    file = tmp_path / "m.onnx"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="its weights are in other files; a model must be one file"):
        load_model(file)


def test_external_data_of_a_constant_node_is_rejected(tmp_path: Path) -> None:
    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    value = onnx.TensorProto(dims=[1], data_type=1, name="c", data_location=onnx.TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="/dev/zero")
    proto.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=value))
    file = tmp_path / "m.onnx"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="its weights are in other files; a model must be one file"):
        load_model(file)


def test_an_engine_is_built_again_only_if_its_options_change_or_it_is_damaged(engine: Path, rtx: Flavour) -> None:
    model = load_model("dcfnet")
    options = BuildOptions.of(model, compute_capabilities="8.6,8.9")
    assert make_engine(model, engine, options, rtx)[1]
    others = [
        options.replace(compute_capabilities="8.6"),
        options.replace(max_batch=4),
        options.replace(tf32=True),
        options.replace(optimisation_level=2),
    ]
    for other in others:
        assert not make_engine(model, engine, other, rtx)[1], other
        assert make_engine(model, engine, other, rtx)[1], other
    flip(engine, 5)
    assert not make_engine(model, engine, others[-1], rtx)[1]
    read_engine(engine)


def test_an_interrupted_write_leaves_no_engine_that_runs(
    engine: Path, rtx: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passport of the previous engine must not be valid for a part of the new one."""
    original, replaced = os.replace, []

    def interrupted(partial: Path, file: Path) -> None:
        if len(replaced) == 2:
            raise KeyboardInterrupt
        replaced.append(file)
        original(partial, file)

    monkeypatch.setattr(os, "replace", interrupted)
    model = load_model("dcfnet")
    with pytest.raises(KeyboardInterrupt):
        make_engine(model, engine, BuildOptions.of(model), rtx)
    assert replaced == [Path(f"{engine}.onnx"), engine]
    with pytest.raises(EngineError):
        read_engine(engine)


def test_parallel_writes_of_one_file_leave_one_complete_file(tmp_path: Path) -> None:
    file = tmp_path / "shared"
    with ThreadPoolExecutor(4) as pool:
        for write in [pool.submit(write_atomically, bytes([number]) * 1000, file) for number in range(200)]:
            write.result()
    assert len(set(file.read_bytes())) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared"]


def test_a_verification_is_added_to_the_signed_passport(engine: Path) -> None:
    note_verification(engine, {"auc": 0.7})
    assert read_engine(engine).passport.verification == {"auc": 0.7}


def test_only_the_user_can_read_the_signing_key(engine: Path, keys: Path) -> None:
    assert (keys / "signing_key.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("algorithm", [None, b"\x2b\x85\x70", b"\x2b\x65\x6f"])  # no key, unknown, X448
def test_the_error_for_a_damaged_key_names_its_file(engine: Path, keys: Path, algorithm: bytes | None) -> None:
    file = keys / "signing_key.pem"
    begin, content, end = file.read_text().splitlines()
    if algorithm is None:
        file.write_text("not a key")
    else:
        other = base64.b64decode(content).replace(b"\x2b\x65\x70", algorithm)  # Ed25519
        file.write_text("\n".join([begin, base64.b64encode(other).decode(), end]))
    with pytest.raises(EngineError, match=r"^[^:]*signing_key\.pem: not a valid signing key .*; delete it"):
        signing.trusted_keys()
    with pytest.raises(
        EngineError, match=r"signing_key\.pem: not a valid signing key .*; delete it, and a new one will be created"
    ):
        read_engine(engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "has unknown surprise"),
        ({"options": {"max_batch": 0}}, "max_batch=0"),
        ({"options": {"shape": 3}}, "unknown setting shape"),
        ({"inputs": [{"name": "patches"}]}, "'dtype'"),
        ({"precision": "fp16"}, "precision: fp16 in the passport, fp32 in the model"),
        ({"weights_sha256": "0"}, "weights_sha256: 0 in the passport"),
    ],
)
def test_the_error_for_an_invalid_signed_passport_names_the_field(
    engine: Path, change: dict[str, object], message: str
) -> None:
    """For example, a passport of another version of this package: a valid signature is not sufficient."""
    from dcfnet.engines import passport, signing

    passport_file = Path(f"{engine}.json")
    content = json.loads(passport_file.read_text())["passport"] | change
    public, signature = signing.sign(passport._canonical(content))
    passport_file.write_text(
        json.dumps({"format": passport.FORMAT, "passport": content, "key": public, "signature": signature})
    )
    with pytest.raises(EngineError) as caught:
        read_engine(engine)
    assert message in str(caught.value)
