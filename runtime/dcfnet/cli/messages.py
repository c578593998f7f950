"""The error messages of the commands of all packages."""

from __future__ import annotations

import re


def as_options(error: Exception, *options: str) -> str:
    """The message of an error, with options instead of arguments of Python: `--device cpu` for `device='cpu'`.

    options: arguments that the command has as options, for example "hold_out" for `--hold-out`.
    """
    given = rf"(?<!--)\b({'|'.join(options)})=(?:'([^']*)'|(-?[\d.]+(?:e[+-]?\d+)?))"
    return re.sub(given, lambda found: f"--{found[1].replace('_', '-')} {found[2] or found[3] or ''}", str(error))
