"""The command dcfnet-run --web: options that fit, and a port that is in use."""

from __future__ import annotations

import gc
import socket

import pytest
from dcfnet.cli.run import app
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason="needs the extra 'web'")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "option",
    ["--init=1,2,3,4", "--output=x.mp4", "--boxes=x.csv", "--record-failures=x", "--targets=x", "--detections=x"],
)
def test_an_option_that_the_page_does_not_use_is_named(option: str) -> None:
    code, text = run("--web", option)
    assert code == 1
    assert text == (
        f"dcfnet-run: --web and {option.split('=')[0]}: give one of them; "
        "the box is drawn on the page, which has the results\n"
    )


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
