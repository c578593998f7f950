"""The entry of the tracker in trackers.ini of a VOT workspace."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dcfnet.io.files import write_atomically
from dcfnet.model.file import SHIPPED

from dcfnet_evaluation.vot.session import open_tracker
from dcfnet_evaluation.vot.trax import VotError

LABEL = "DCFNet"


def register(
    workspace: Path,
    name: str = "dcfnet",
    model: Path | None = None,
    config: str | None = None,
    changes: Sequence[str] = (),
    preset: str | None = None,
) -> Path:
    """Adds or replaces the entry `name` in trackers.ini of the workspace; keeps other entries. Returns the file.

    The command has absolute paths, because the toolkit starts it in another folder. Raises VotError if the folder does
    not exist, the toolkit does not allow the name, or the tracker cannot be opened.
    """
    if not workspace.is_dir():
        raise VotError(
            f"{workspace}: no such folder; create a workspace with: vot initialize STACK --workspace {workspace}"
        )
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        raise VotError(f"--name {name!r}: must consist of letters, digits, - and _; choose another name")
    open_tracker(model, config, changes, preset)
    file = workspace / "trackers.ini"
    try:
        content = file.read_text("utf-8", "surrogateescape") if file.exists() else ""
        text = _replace_section(content, name, entry(name, model, config, changes, preset))
        write_atomically(text.encode("utf-8", "surrogateescape"), file)
    except OSError as error:
        raise VotError(str(error)) from error
    return file


def entry(name: str, model: Path | None, config: str | None, changes: Sequence[str], preset: str | None) -> str:
    """The section of trackers.ini. Its command runs the tracker with this Python interpreter."""
    command = [sys.executable, "-m", "dcfnet_evaluation.vot"]
    if model:
        command += ["--model", str(model.resolve()) if model.is_file() or str(model) not in SHIPPED else str(model)]
    command += ["--config", config] if config else []
    command += ["--preset", preset] if preset else []
    for change in changes:
        command += ["--set", change]
    label = LABEL if name == "dcfnet" else f"{LABEL} {name}"
    escaped = shlex.join(command).replace("%", "%%")  # the toolkit reads the file with ConfigParser, which expands %
    return f"[{name}]\nlabel = {label}\nprotocol = trax\ncommand = {escaped}\n"


def _replace_section(text: str, name: str, section: str) -> str:
    """Removes the section `name` from `text` and appends `section`."""
    sections = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    kept = "".join(entry_text for entry_text in sections if not entry_text.startswith(f"[{name}]")).rstrip()
    return (kept + "\n\n" if kept else "") + section
