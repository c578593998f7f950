"""`python -m dcfnet_export` is `dcfnet-export`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-export."""
    start("dcfnet-export", "export", _load)


def _load() -> Any:
    from dcfnet_export.cli import app

    return app


if __name__ == "__main__":
    main()
