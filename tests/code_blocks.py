"""The code blocks of the documents, and a program that executes those of one page: `python code_blocks.py PAGE`.

A page is like a notebook: its Python blocks run in order in one process and share their names. A block with
`if __name__ == "__main__":` runs as a program of its own. `<!-- python: ... -->`, on one line or several, is a block
that readers do not see: it prepares names for the next block, or checks the one before.
`<!-- not executed: REASON -->` above a block says why it does not run. A block without a language is a shell block. Its
commands run here if they are `dcfnet-run`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Commands that do not run in the tests, with the reason. tests/test_docs.py checks that they and their options exist.
NOT_EXECUTED = {
    r"\./justw|pip |python3 -m venv|\. venv/|apt-get ": "installs packages, or runs these tests",
    r"dcfnet-(train|crops|adapt|export|eval|calibrate|bench) |python -m dcfnet_|torchrun ": "needs data of the reader",
    r"python benchmarks/": "takes minutes",
    r"dcfnet-run --web": "serves a page until it is interrupted",
    r"dcfnet-run (\d|rtsp:|http:)": "needs a camera or a stream",
    r"dcfnet-run .*--device cuda": "needs a GPU",
    r"dcfnet-run .*--engine \S+\.(onnx|engine)": "needs an exported model",
    r"dcfnet-run (?!.*--(init|targets|detections))": "needs a display, to draw the box",
    r"trtexec |polygraphy ": "needs TensorRT",
}
FENCE = re.compile(
    r"^(?:<!-- not executed: (?P<reason>[^\n]+?) -->\n+)?```(?P<language>[\w+-]*)\n(?P<code>.*?)^```$"
    r"|^<!-- python:?[ \n](?P<hidden>.*?)\s*-->$",
    re.DOTALL | re.MULTILINE,
)
EXECUTED = {"python", ""}


class Block(NamedTuple):
    """One block. language: "" for shell. code: its text. line: of the page, from 1. reason: why it does not run."""

    language: str
    code: str
    line: int
    reason: str | None

    def commands(self) -> list[str]:
        """The commands of a shell block."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order, the hidden ones included."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        hidden = found["hidden"] is not None
        code = found["hidden"] if hidden else found["code"]
        line = text[: found.start("hidden" if hidden else "code")].count("\n") + 1
        yield Block("python" if hidden else found["language"], code, line, found["reason"])


def reason_of(command: str) -> str | None:
    """Why a command is not executed; None if it is `dcfnet-run` and can be, and "" if nothing is known of it."""
    command = re.sub(r"^(\w+=\S+\s+)+", "", command)  # variables of the environment
    for pattern, reason in NOT_EXECUTED.items():
        if re.match(pattern, command):
            return reason
    return None if command.startswith("dcfnet-run ") else ""


def execute(page: Path) -> None:
    """Executes the blocks of the page in the present folder."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.reason is not None or block.language not in EXECUTED:
            continue
        print(f"{page.name}:{block.line}", flush=True)
        if block.language == "":
            for command in block.commands():
                if reason_of(command) is None:
                    _run_command(command)
        elif 'if __name__ == "__main__":' in block.code:
            file = Path(f"program_{block.line}.py")
            file.write_text(block.code, "utf-8")
            subprocess.run([sys.executable, str(file)], check=True, timeout=120)
        else:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


def _run_command(command: str) -> None:
    """Runs dcfnet-run in this process. Raises if its exit code is not 0."""
    from dcfnet.cli.run import app

    code = app(shlex.split(command, comments=True)[1:], prog_name="dcfnet-run", standalone_mode=False)
    if code:  # without standalone mode, typer returns the code of an exit
        raise SystemExit(f"{command}: exit code {code}")


if __name__ == "__main__":
    execute(Path(sys.argv[1]))
