"""The TraX program against a client that follows the documentation of the protocol."""

from __future__ import annotations

import base64
import configparser
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.result import Box
from dcfnet.tracker import Tracker
from dcfnet_evaluation.rendered import Clip
from dcfnet_evaluation.vot import main
from dcfnet_evaluation.vot.session import Session, read_image, read_region
from dcfnet_evaluation.vot.trax import Message, VotError

PROGRAM = (sys.executable, "-m", "dcfnet_evaluation.vot")
BLOCKED = """
import importlib.abc, runpy, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numpy", "scipy", "cv2", "onnxruntime", "typer", "dcfnet"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
runpy.run_module("dcfnet_evaluation.vot", run_name="__main__")
"""
NOISY = """
import os, sys
import dcfnet_evaluation.vot.session as session
read = session.read_image
def noisy(uri, levels):
    print("@@TRAX:state printed", flush=True)
    os.write(1, b"written past Python")
    return read(uri, levels)
session.read_image = noisy
from dcfnet_evaluation.vot import main
sys.exit(main())
"""


class Client:
    """An evaluation: starts the tracker and sends lines as in the examples of the documentation."""

    def __init__(self, command: Sequence[str] = PROGRAM) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1)
        self.hello = self.read()

    def write(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")

    def read(self) -> list[str]:
        assert self.process.stdout
        return shlex.split(self.process.stdout.readline())

    def ask(self, line: str) -> tuple[list[float], dict[str, str]]:
        self.write(line)
        name, region, *properties = self.read()
        assert name == "@@TRAX:state"
        return [float(value) for value in region.split(",")], dict(text.split("=", 1) for text in properties)

    def end(self, line: str | None = None) -> tuple[int, str, str]:
        """Exit status, and the remaining output and error output."""
        out, err = self.process.communicate(None if line is None else line + "\n", timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def client() -> Iterator[Client]:
    started = Client()
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.fixture(scope="module")
def frames(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve frames in a folder whose name needs escape characters."""
    folder = tmp_path_factory.mktemp("frames") / 'a "quoted" \\ näme=1'
    folder.mkdir()
    for t in range(12):
        (folder / f"{t}.png").write_bytes(cv2.imencode(".png", clip.frame(t))[1].tobytes())
    return [folder / f"{t}.png" for t in range(12)]


def escaped(file: Path) -> str:
    return '"file://' + str(file).replace("\\", "\\\\").replace('"', '\\"') + '"'


def region_text(box: Sequence[float] | Box) -> str:
    return ",".join(f"{value:.4f}" for value in box)


def test_it_sends_hello_before_heavy_imports() -> None:
    client = Client((sys.executable, "-c", BLOCKED))
    name, *properties = client.hello
    assert name == "@@TRAX:hello"
    assert {"trax.version=1", "trax.name=dcfnet", "trax.region=rectangle;polygon"} <= set(properties)
    assert client.end()[0] != 0  # the blocked imports fail after the hello message


def test_it_tracks_from_a_rectangle_and_starts_again_from_a_polygon(
    client: Client, clip: Clip, frames: list[Path]
) -> None:
    first = clip.box(0)
    region, properties = client.ask(f"@@TRAX:initialize {escaped(frames[0])} {region_text(first)}")
    assert region == pytest.approx(list(first), abs=1e-4)
    client.write("output of the evaluation that is not a message")
    for t in range(1, 12):
        region, properties = client.ask(f"@@TRAX:frame {escaped(frames[t])} ")
        assert Box(*region).iou(clip.box(t)) > 0.8
        assert float(properties["confidence"]) > 7
    left, top, right, bottom = first.x, first.y, first.x + first.w - 1, first.y + first.h - 1
    corners = (left, top, right, top, right, bottom, left, bottom)
    again, _ = client.ask(f'@@TRAX:initialize {escaped(frames[0])} "{region_text(corners)}" "key=value with = in it"')
    assert again == pytest.approx(list(first), abs=2e-4)  # a polygon includes its corner pixels
    for t in range(1, 12):
        last_region, _ = client.ask(f"@@TRAX:frame {escaped(frames[t])}")
    assert last_region == pytest.approx(region, abs=0.01)
    assert client.end('@@TRAX:quit "trax.reason=done"') == (0, "", "")


def test_other_output_goes_to_standard_error(clip: Clip, frames: list[Path]) -> None:
    client = Client((sys.executable, "-c", NOISY))
    for _ in range(2):
        client.ask(f"@@TRAX:initialize {escaped(frames[0])} {region_text(clip.box(0))}")
    code, out, err = client.end("@@TRAX:quit")
    assert (code, out) == (0, "")
    assert err.count("@@TRAX:state printed") == err.count("written past Python") == 2


@pytest.mark.parametrize("ending", ["hang up", "terminate"])
def test_it_exits_cleanly_at_end_of_input_or_sigterm(ending: str, clip: Clip, frames: list[Path]) -> None:
    client = Client()
    client.ask(f"@@TRAX:initialize {escaped(frames[0])} {region_text(clip.box(0))}")
    if ending == "terminate":
        client.process.send_signal(signal.SIGTERM)
        assert client.read() == ["@@TRAX:quit", "trax.reason=interrupted"]
    assert client.end() == (0, "", "")


def test_a_protocol_error_gives_one_line_a_quit_message_and_exit_code_1(client: Client) -> None:
    code, out, err = client.end("@@TRAX:frame file:///x.png")
    assert code == 1
    assert err == "dcfnet-vot: frame before initialize: the target is unknown; send initialize first\n"
    assert shlex.split(out) == ["@@TRAX:quit", f"trax.reason={err.strip().removeprefix('dcfnet-vot: ')}"]


def test_an_invalid_option_is_reported_on_both_streams() -> None:
    code, out, err = Client((*PROGRAM, "--config", "fastest")).end()
    assert code == 1
    assert err == "dcfnet-vot: --config fastest: must be one of paper, released, default\n"
    assert shlex.split(out)[1] == f"trax.reason={err.strip().removeprefix('dcfnet-vot: ')}"


def test_options_reach_the_tracker(clip: Clip, frames: list[Path]) -> None:
    """With a min_psr that no response reaches, the box never moves."""
    client = Client((*PROGRAM, "--model", "dcfnet", "--set", "min_psr=1000000", "--config", "paper"))
    client.ask(f"@@TRAX:initialize {escaped(frames[0])} {region_text(clip.box(0))}")
    region, _ = client.ask(f"@@TRAX:frame {escaped(frames[11])}")
    assert region == pytest.approx(list(clip.box(0)), abs=1e-4)
    assert client.end("@@TRAX:quit")[0] == 0


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(Tracker())


def state_of(session: Session, line: str) -> tuple[str, str | None]:
    message = Message.parse(line.encode())
    assert message
    answer = session.answer(message)
    return answer.arguments[0], answer.properties.get("confidence")


@pytest.mark.parametrize("box", ["50.0000,60.0000,1.0000,1.0000", "900.0000,60.0000,40.0000,40.0000"])
def test_a_rejected_box_is_the_answer_until_the_next_initialize(
    session: Session, clip: Clip, frames: list[Path], capsys: pytest.CaptureFixture[str], box: str
) -> None:
    valid_box = region_text(clip.box(0))
    assert state_of(session, f"@@TRAX:initialize {escaped(frames[0])} {valid_box}") == (valid_box, None)
    assert state_of(session, f"@@TRAX:initialize {escaped(frames[0])} {box}") == (box, "0.0000")
    assert "answers this box until the next initialize" in capsys.readouterr().err
    assert state_of(session, f"@@TRAX:frame {escaped(frames[1])}") == (box, "0.0000")
    assert state_of(session, f"@@TRAX:initialize {escaped(frames[0])} {valid_box}") == (valid_box, None)
    region, confidence = state_of(session, f"@@TRAX:frame {escaped(frames[1])}")
    assert region != valid_box
    assert float(confidence or 0) > 7


def test_an_image_that_cannot_be_read_is_a_lost_frame(
    session: Session, clip: Clip, frames: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    valid_box = region_text(clip.box(0))
    state_of(session, f"@@TRAX:initialize {escaped(frames[0])} {valid_box}")
    assert state_of(session, "@@TRAX:frame file:///none/at/all.png") == (valid_box, "0.0000")
    assert "all.png': not a readable image" in capsys.readouterr().err
    assert state_of(session, f"@@TRAX:initialize file:///none.png {valid_box}") == (valid_box, "0.0000")


def test_images_in_messages_match_the_file(frames: list[Path]) -> None:
    expected = cv2.imdecode(np.frombuffer(frames[0].read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    height, width = expected.shape[:2]

    def text(content: bytes) -> str:
        return base64.b64encode(content).decode()

    png = text(frames[0].read_bytes())
    grey = expected[..., 0]
    for uri, image in [
        (f"file://{frames[0]}", expected),
        (str(frames[0]), expected),
        (f"data:image/png;{png}", expected),  # as libtrax writes it
        (f"data:image/png;base64;{png}", expected),  # as its documentation does
        (f"image:{width};{height};rgb;{text(cv2.cvtColor(expected, cv2.COLOR_BGR2RGB).tobytes())}", expected),
        (f"image:{width};{height};gray8;{text(grey.tobytes())}", np.dstack([grey] * 3)),
        (f"image:{width};{height};gray16;{text((grey.astype(np.uint16) * 257).tobytes())}", np.dstack([grey] * 3)),
    ]:
        np.testing.assert_array_equal(read_image(uri), image, err_msg=uri[:40])
    assert read_image("data:image/png;") is None


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("http://localhost/1.png", "not a file"),
        ("image:4;4;rgb;AAAA", "image of 4 x 4 rgb: has 3 bytes; must have 48"),
        ("image:4;4;hsv;AAAA", "KIND one of rgb, gray8, gray16"),
        ("image:0;4;rgb;", "has 0 bytes; must have 0, and more than 0"),
        ("image:", "must be image:WIDTH;HEIGHT;KIND"),
        ("data:image/png;%%%", "invalid Base64"),
        ("data:image/png;\xe9", "invalid Base64"),
        (f"image:{'9' * 5000};4;rgb;AAAA", "must be image:WIDTH;HEIGHT;KIND"),
    ],
)
def test_an_invalid_image_is_an_error(uri: str, what: str) -> None:
    with pytest.raises(VotError, match=what):
        read_image(uri)


@pytest.mark.parametrize("text", ["", "1,2,3,nan", "1,2,3,4,5", "1,2,3,4,5,6,7", "m1,2,3,4", "1,2,inf,4,5,6"])
def test_an_invalid_region_is_an_error(text: str) -> None:
    with pytest.raises(VotError, match="region"):
        read_region(text)


@pytest.mark.parametrize("line", ['@@TRAX:frame "open', '@@TRAX:frame "a""b"', "@@TRAX:reset", "@@TRAX:frame a b"])
def test_an_invalid_message_is_an_error(session: Session, line: str) -> None:
    with pytest.raises(VotError, match=r"frame|reset"):
        state_of(session, line)


def test_a_message_without_a_name_is_an_error(session: Session) -> None:
    """The text has white space that the bytes do not have."""
    with pytest.raises(VotError):
        state_of(session, "@@TRAX:\x1f")


@pytest.mark.parametrize("text", ["plain", 'a "b" \\ c\n\\n', "clé", "", " x = y ", "\udcff"])
def test_arguments_are_read_back_unchanged(text: str) -> None:
    message = Message("frame", (f"file:{text}",), {"key.1_a": text})
    assert message.line().count(b"\n") == 1
    assert Message.parse(message.line()) == message
    assert Message.parse(b"not " + message.line()) is None


def read_ini(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(file)
    return parser


def test_it_registers_beside_other_trackers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = tmp_path / "100 % work"
    workspace.mkdir()
    file = workspace / "trackers.ini"
    file.write_text("# mine\n[dcfnet]\ncommand = old\n[other]\nlabel = O  # kept\ncommand = o")
    assert main(["--register", str(workspace)]) == 0
    paper = ["--model", "dcfnet", "--config", "paper"]
    assert main(["--register", str(workspace), "--name", "gated", "--set", "min_psr=9", *paper]) == 0
    assert main(["--register", str(workspace), "--name", "gated", "--set", "min_psr=8", "--preset", "fast"]) == 0
    assert file.read_text().startswith("# mine\n[other]\nlabel = O  # kept\ncommand = o\n\n[dcfnet]\n")
    trackers = read_ini(file)
    assert trackers.sections() == ["other", "dcfnet", "gated"]
    assert dict(trackers["gated"])["label"] == "DCFNet gated"
    assert trackers["gated"]["command"].endswith("--preset fast --set min_psr=8")
    assert {trackers[name]["protocol"] for name in ("dcfnet", "gated")} == {"trax"}
    capsys.readouterr()


def test_registration_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, what in [
        (["--register", str(tmp_path / "none")], "no such folder; create a workspace with: vot initialize"),
        (["--register", str(tmp_path), "--name", "a b"], "--name 'a b': must consist of letters, digits, - and _"),
        (["--register", str(tmp_path), "--set", "speed=9"], "unknown setting speed"),
        (["--register", str(tmp_path), "--model", str(tmp_path / "none.onnx")], r"none.onnx"),
    ]:
        assert main(arguments) == 1
        assert what in capsys.readouterr().err
    assert not (tmp_path / "trackers.ini").exists()


def test_the_registered_command_works_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "50 % 'models'"
    models.mkdir()
    shipped = Path(sys.modules["dcfnet"].__file__ or "").parent / "model" / "shipped" / "dcfnet.onnx"
    (models / "m.onnx").write_bytes(shipped.read_bytes())
    monkeypatch.chdir(models)
    assert main(["--register", ".", "--model", "m.onnx"]) == 0
    command = shlex.split(read_ini(models / "trackers.ini")["dcfnet"]["command"])  # as the toolkit does
    monkeypatch.chdir(tmp_path)
    client = Client(command)
    assert client.hello[0] == "@@TRAX:hello"
    assert client.end("@@TRAX:quit") == (0, "", "")
    assert os.path.isabs(command[command.index("--model") + 1])
    assert main(["--register", ".", "--model", "dcfnet", "--name", "small"]) == 0
    assert read_ini(tmp_path / "trackers.ini")["small"]["command"].endswith("--model dcfnet")
    capsys.readouterr()
