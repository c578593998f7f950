"""How a command starts whose libraries are an extra."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def start(command: str, extra: str, load: Callable[[], Any]) -> None:
    """Runs the app that `load` imports; ends in one line, and exit code 1, where a library of the extra is missing."""
    try:
        app = load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dcfnet"):
            raise
        sys.exit(f"{command}: {error.name} is not installed; it comes with: pip install 'dcfnet[{extra}]'")
    app(prog_name=command)
