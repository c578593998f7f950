"""Rejected engines are built again from the model next to them, if it is the model of a trusted passport."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import dcfnet.engines.make as make
import pytest
from dcfnet.cli.run import app
from dcfnet.engines.bundle import read_engine
from dcfnet.engines.make import rebuild
from dcfnet.errors import EngineError, ModelError, SinkError
from dcfnet.io import files
from dcfnet.io.sinks.video import VideoSink
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.engines.test_bundle import flip


def test_a_damaged_engine_is_built_again_with_its_options(engine: Path) -> None:
    before = read_engine(engine)
    flip(engine, 1000)
    passport = rebuild(engine)
    after = read_engine(engine)
    assert before is not None
    assert after is not None
    assert after.passport == passport
    assert passport.options == before.passport.options
    assert passport.key() == before.passport.key()


def test_an_untrusted_engine_is_built_again_for_the_presets_of_the_model(engine: Path, keys: Path) -> None:
    """The options of an untrusted passport are not used."""
    (keys / "signing_key.pem").unlink()
    passport = rebuild(engine)
    assert passport.options.compute_capabilities == ""
    assert passport.options.sides() == (80, 108, 126)
    assert read_engine(engine).is_engine


def test_an_engine_for_other_gpus_is_built_again_for_this_gpu(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_machine", lambda flavour: {"built_on": "12.0", "cuda": "13.0", "driver": "13.0"})
    assert rebuild(engine).options.compute_capabilities == ""
    assert rebuild(engine).built_on == "12.0"


def test_rtx_does_not_rebuild_for_a_gpu_that_it_does_not_support(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_machine", lambda flavour: {"built_on": "9.0", "cuda": "13.0", "driver": "13.0"})
    before = engine.read_bytes()
    with pytest.raises(
        EngineError, match=r"no engines for this GPU, 9.0; it builds them for 7.5, .*; export it with Te"
    ):
        rebuild(engine)
    assert engine.read_bytes() == before


def test_a_model_that_does_not_match_the_passport_raises(engine: Path) -> None:
    source = Path(f"{engine}.onnx")
    other = source.read_bytes().replace(b'"min_psr": 5.0', b'"min_psr": 6.0')
    assert other != source.read_bytes()
    source.write_bytes(other)
    with pytest.raises(EngineError, match="not the model that the engine was built from; export the engine again"):
        rebuild(engine)


@pytest.mark.parametrize("damage", ["missing", "junk"])
def test_a_missing_or_invalid_model_raises(engine: Path, damage: str) -> None:
    source = Path(f"{engine}.onnx")
    source.unlink()
    if damage == "junk":
        source.write_bytes(b"junk")
    with pytest.raises((EngineError, ModelError), match=r"net\.engine\.onnx"):
        rebuild(engine)


def test_a_rebuild_of_a_symlink_replaces_the_engine_and_keeps_the_link(engine: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "latest.engine"
    link.parent.mkdir()
    link.symlink_to(engine)
    flip(engine, 9)
    rebuild(link)
    assert link.is_symlink()
    assert read_engine(link).is_engine


def test_the_error_for_a_circular_symlink_names_the_file(tmp_path: Path) -> None:
    link = tmp_path / "loop.engine"
    link.symlink_to(link)
    with pytest.raises(EngineError, match=r"loop\.engine\.onnx: cannot be read"):
        rebuild(link)


@pytest.mark.parametrize("where", ["disk", "folder", "key"])
def test_a_failed_rebuild_keeps_the_existing_files(
    engine: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A full disk, a folder without write permission, and a key that cannot be created."""
    before = {file: file.read_bytes() for file in engine.parent.glob("net.engine*")}
    if where == "key":
        (keys.parent / "file").write_text("not a folder")
        monkeypatch.setenv("DCFNET_KEYS", str(keys.parent / "file"))
    else:
        original = files._write_partial

        def full(file: Path, partial: Path, content: bytes) -> None:
            if file == engine or where == "folder":
                raise OSError(28, "No space left on device")
            original(file, partial, content)

        monkeypatch.setattr(files, "_write_partial", full)
    with pytest.raises((EngineError, SinkError), match=r"cannot be written|set DCFNET_KEYS to a folder that you own"):
        rebuild(engine)
    assert {file: file.read_bytes() for file in engine.parent.glob("net.engine*")} == before


@pytest.fixture
def video(clip: Clip, tmp_path: Path) -> Path:
    with VideoSink(tmp_path / "drive.mp4", 30, (320, 240)) as sink:
        for frame, _ in islice(clip, 4):
            sink.write(frame)
    return tmp_path / "drive.mp4"


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_the_command_rejects_an_engine_and_names_the_remedy(engine: Path, video: Path) -> None:
    flip(engine, 77)
    code, text = run(video, "--init", "100,80,40,40", "--engine", engine)
    assert code == 1
    assert "it is not the file that was built; build it again (dcfnet-run --rebuild)" in text
    assert "Traceback" not in text


def test_the_command_builds_an_engine_again_with_rebuild(engine: Path, video: Path) -> None:
    flip(engine, 77)
    _, text = run(video, "--init", "100,80,40,40", "--engine", engine, "--rebuild")
    assert "built again with tensorrt_rtx" in text
    assert json.loads(Path(f"{engine}.json").read_text())["passport"]["engine_sha256"] == make.digest(
        engine.read_bytes()
    )
    assert "Traceback" not in text
