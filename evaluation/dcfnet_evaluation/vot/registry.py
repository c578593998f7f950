"""The tracker's entry in the trackers.ini of a VOT workspace."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dcfnet.sinks import write_whole

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
    """Writes the entry `name` into the workspace's trackers.ini, in place of one of that name; returns the file.

    The command holds absolute paths, because the toolkit starts it in a folder of its own. The other entries stay as
    they are. Raises VotError for a folder that is not there, a name that the toolkit does not take, and a tracker that
    cannot be made.
    """
    if not workspace.is_dir():
        raise VotError(
            f"{workspace}: no such folder; make a workspace with: vot initialize STACK --workspace {workspace}"
        )
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        raise VotError(f"name {name!r}: the toolkit takes letters, digits, - and _")
    open_tracker(model, config, changes, preset)
    file = workspace / "trackers.ini"
    try:
        there = file.read_text("utf-8", "surrogateescape") if file.exists() else ""
        text = _replaced(there, name, entry(name, model, config, changes, preset))
        write_whole(text.encode("utf-8", "surrogateescape"), file)
    except OSError as error:
        raise VotError(str(error)) from error
    return file


def entry(name: str, model: Path | None, config: str | None, changes: Sequence[str], preset: str | None) -> str:
    """The section of trackers.ini that runs the tracker with this interpreter."""
    command = [sys.executable, "-m", "dcfnet_evaluation.vot"]
    command += ["--model", str(model.resolve())] if model else []
    command += ["--config", config] if config else []
    command += ["--preset", preset] if preset else []
    for change in changes:
        command += ["--set", change]
    label = LABEL if name == "dcfnet" else f"{LABEL} {name}"
    escaped = shlex.join(command).replace("%", "%%")  # the toolkit reads the file with ConfigParser, which expands %
    return f"[{name}]\nlabel = {label}\nprotocol = trax\ncommand = {escaped}\n"


def _replaced(text: str, name: str, section: str) -> str:
    """`text` with this section at its end, and without the one of the same name that was there."""
    sections = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    kept = "".join(there for there in sections if not there.startswith(f"[{name}]")).rstrip()
    return (kept + "\n\n" if kept else "") + section
