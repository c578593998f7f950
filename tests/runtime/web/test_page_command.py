"""The command dcfnet-run --web: options that fit, and a port that is in use."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import pytest
from dcfnet.cli.options import RunOptions
from dcfnet.cli.run import app
from dcfnet.cli.session import check_page_source
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason="needs the extra 'web'")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "option",
    [
        "--init=1,2,3,4",
        "--output=x.mp4",
        "--boxes=x.csv",
        "--record-failures=x",
        "--targets=x",
        "--detections=x",
        "--format=csv",
        "--deaths=5",
    ],
)
def test_an_option_that_the_page_does_not_use_is_named(option: str) -> None:
    code, text = run("--web", option)
    assert code == 1
    assert text == (
        f"dcfnet-run: --web and {option.split('=')[0]}: give one of them; "
        "the box is drawn on the page, which has the results\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], "none.mp4: no such file or folder"),
        (["EMPTY"], "the file is empty"),
        (["--every-frame"], "--web and --every-frame: give one of them; the page reads cameras"),
        (["--reconnect", "5"], "--web and --reconnect 5: give one of them; the page reads cameras"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
        (["--births", "2"], "--web and --births 2: give one of them"),
        (["--min-score", "0.3"], "--web and --min-score 0.3: give one of them"),
        (["--rebuild"], "--rebuild: is for engine files; give --engine FILE.engine, or leave it out"),
    ],
)
def test_an_error_ends_the_command_before_the_page_is_served(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    code, text = run("--web", *(str(empty) if argument == "EMPTY" else argument for argument in arguments))
    assert code == 1
    assert text.startswith("dcfnet-run: ")
    assert message in text


@pytest.mark.parametrize("source", ["0", "rtsp://127.0.0.1/stream", "-", "/dev/video3"])
def test_a_source_that_may_not_open_twice_is_left_to_the_page(source: str) -> None:
    """It does not exist here, so an attempt would raise SourceError."""
    check_page_source(RunOptions(source))


def test_without_a_source_and_without_the_page_the_source_is_named() -> None:
    code, text = run("--init", "1,2,3,4")
    assert code == 2
    assert "SOURCE" in text
    assert "--web" in text


@pytest.mark.parametrize("option", ["--web-port=65536", "--upload-limit=0"])
def test_a_number_out_of_range_names_its_option(option: str) -> None:
    code, text = run("--web", option)
    assert code == 2
    assert option.split("=")[0] in text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # uvicorn leaves its socket open
def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        code, text = run("--web", "--web-port", str(port), "--engine", "dcfnet")
    assert code == 1
    gc.collect()
    assert text == f"dcfnet-run: --web-port {port}: cannot be used; choose another one, or 0 for a free one\n"
