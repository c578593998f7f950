"""The start and the error messages of the commands of all packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from dcfnet.config.version import __version__


def as_options(error: Exception, *options: str) -> str:
    """The message of an error, with options instead of arguments of Python: `--device cpu` for `device='cpu'`.

    options: arguments that the command has as options, for example "hold_out" for `--hold-out`.
    """
    given = rf"(?<!--)\b({'|'.join(options)})=(?:'([^']*)'|(-?[\d.]+(?:e[+-]?\d+)?))"
    return re.sub(given, lambda found: f"--{found[1].replace('_', '-')} {found[2] or found[3] or ''}", str(error))


def start(command: str, extra: str, load: Callable[[], Any]) -> None:
    """Runs the app that `load` imports. If a library is missing, prints one line and exits with code 1.

    command: name of the program. extra: the extra of dcfnet that installs the libraries. `--version` needs none.
    """
    if sys.argv[1:2] == ["--version"]:
        print(f"{command} {__version__}")
        return
    try:
        app = load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dcfnet"):
            raise
        sys.exit(f"{command}: {error.name} is not installed; install it with: pip install 'dcfnet[{extra}]'")
    app(prog_name=command)
