"""Runs the lines of the Dockerfile without Docker: its files in an empty folder, its `pip` in a clean environment.

This finds a file that is not copied, or a dependency that is missing. It does not test the base image.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTRUCTION = re.compile(r"^([A-Z]+) (.+)$", re.MULTILINE)


def run_lines(folder: Path) -> str:
    """Runs COPY, `RUN pip` and CMD in `folder`, which must be empty. Returns what CMD prints.

    Raises CalledProcessError if a line fails.
    """
    build, home, environment = folder / "build", folder / "home", folder / "environment"
    build.mkdir()
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = str(environment / "bin/python")
    printed = ""
    for instruction, text in INSTRUCTION.findall((ROOT / "Dockerfile").read_text("utf-8")):
        if instruction == "COPY":
            copy(text.split(), build)
        elif instruction == "RUN" and text.startswith("pip "):
            subprocess.run([python, "-m", *text.split()], cwd=build, check=True, capture_output=True)
        elif instruction == "CMD":
            command = [python, *json.loads(text)[1:]]
            printed = subprocess.run(command, cwd=home, check=True, capture_output=True, text=True).stdout
    return printed


def copy(words: list[str], build: Path) -> None:
    """COPY FILE ... ./ and COPY FOLDER FOLDER."""
    *sources, _ = words
    for name in sources:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, build / name)
